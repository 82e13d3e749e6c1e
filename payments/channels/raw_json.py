"""
Cut one member out of a JSON object without parsing and re-writing it.

A channel signs the bytes that it sent. Escapes such as `\\/` and the order of keys are lost by a round trip
through a parser, so the signed text has to be sliced from the raw answer. The scan knows about strings: a
brace inside a subject is text.
"""

from __future__ import annotations

import json

OPENING = b"{["
CLOSING = b"}]"
SPACE = b" \t\r\n"


class NotAnObject(ValueError):
    """The bytes are not one JSON object, or a member's name is repeated."""


def members(raw: bytes) -> dict[str, bytes]:
    """
    The raw bytes of each member's value of the outermost object.

    :raises NotAnObject: see there
    """
    found: dict[str, bytes] = {}
    at = _expect(raw, _skip_space(raw, 0), b"{")
    while not found or raw[at - 1 : at] == b",":
        start = _skip_space(raw, at)
        end = _string_end(raw, start)
        name = _text(raw[start:end])
        start = _skip_space(raw, _expect(raw, _skip_space(raw, end), b":"))
        end = _value_end(raw, start)
        if name in found:
            raise NotAnObject(f"{name} is given twice")
        found[name] = raw[start:end]
        at = _skip_space(raw, end) + 1
    if raw[at - 1 : at] != b"}" or _skip_space(raw, at) != len(raw):
        raise NotAnObject("the object does not end")
    return found


def _text(quoted: bytes) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError as error:
        raise NotAnObject("a name cannot be read") from error


def _expect(raw: bytes, at: int, mark: bytes) -> int:
    if raw[at : at + 1] != mark:
        raise NotAnObject(f"{mark!r} expected at byte {at}")
    return at + 1


def _skip_space(raw: bytes, at: int) -> int:
    while at < len(raw) and raw[at] in SPACE:
        at += 1
    return at


def _string_end(raw: bytes, at: int) -> int:
    at = _expect(raw, at, b'"')
    while at < len(raw) and raw[at] != ord('"'):
        at += 2 if raw[at] == ord("\\") else 1
    return _expect(raw, at, b'"')


def _value_end(raw: bytes, at: int) -> int:
    if raw[at : at + 1] == b'"':
        return _string_end(raw, at)
    if raw[at : at + 1] and raw[at] in OPENING:
        return _nested_end(raw, at)
    start = at
    while at < len(raw) and raw[at] not in b",}" + SPACE:
        at += 1
    if at == start:
        raise NotAnObject(f"a value is missing at byte {at}")
    return at


def _nested_end(raw: bytes, at: int) -> int:
    depth = 0
    while at < len(raw):
        if raw[at] == ord('"'):
            at = _string_end(raw, at)
            continue
        depth += (raw[at] in OPENING) - (raw[at] in CLOSING)
        at += 1
        if depth == 0:
            return at
    raise NotAnObject("a nested value does not end")
