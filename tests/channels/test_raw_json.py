"""The signed text of an answer is sliced from the raw bytes, whatever braces and quotes its strings hold."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.channels.raw_json import NotAnObject, members

TEXTS = st.text(alphabet=st.sampled_from(list('{}[]",:\\/ \n演a&=\u2028')), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4)


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans())
def test_each_member_is_cut_out_as_it_was_written(content, indent, ascii_only):
    raw = json.dumps(content, indent=indent, ensure_ascii=ascii_only)
    found = members(raw.encode())
    assert {name: json.loads(part) for name, part in found.items()} == content
    assert all(part.decode() in raw for part in found.values())


@given(OBJECTS)
def test_escapes_survive(content):
    raw = json.dumps(content, ensure_ascii=False).replace("/", "\\/").encode()
    joined = b"".join(members(raw).values())
    assert joined.count(b"\\/") + b"".join(_names(raw)).count(b"\\/") == raw.count(b"\\/")


def _names(raw: bytes) -> list[bytes]:
    return [json.dumps(name, ensure_ascii=False).replace("/", "\\/").encode() for name in members(raw)]


@given(OBJECTS, st.data())
def test_a_cut_object_is_refused(content, data):
    raw = json.dumps(content).encode()
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(NotAnObject):
        members(raw[:cut])


@given(st.binary(max_size=40))
def test_any_bytes_give_an_object_or_a_refusal(raw):
    with contextlib.suppress(NotAnObject):
        members(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"a":1}x', b'{"a":1,"a":2}', b'{"a":}', b'{"a" 1}', b"<html>"]
)
def test_what_is_not_one_object_is_refused(raw):
    with pytest.raises(NotAnObject):
        members(raw)
