"""What the edge says to people is what Django says, in their language."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2
import pytest
from django.utils import translation

from basis.problems import KINDS
from operations.edge import Edge
from operations.edge_config import TEMPLATES
from tests.edge.conftest import free_port

LUA = TEMPLATES / "lua"
DETAILS = {"place_kept"}


def words() -> dict[str, dict[str, str]]:
    parts = re.findall(
        r'^  (?:\[")?([\w-]+)(?:"\])? = \{$(.*?)^  \},$', (LUA / "words.lua").read_text(), re.M | re.S
    )
    return {language: dict(re.findall(r'^    (\w+) = "(.*)",$', part, re.M)) for language, part in parts}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_words_are_those_of_django(language: str) -> None:
    said = words()[language]
    with translation.override(language):
        assert {code: title for code, title in said.items() if code not in DETAILS} == {
            code: str(KINDS[code].title) for code in said if code not in DETAILS
        }


def test_all_that_is_said_has_words_in_both_languages() -> None:
    code = "".join(file.read_text() for file in LUA.glob("*.lua"))
    named = set(re.findall(r'answers\.problem\(\d+, "(\w+)"', code)) | set(
        re.findall(r'= \{ \d{3}, "(\w+)" \}', code)
    )
    assert {"sold_out", "not_found", "pass_needed"} <= named <= set(words()["en"])
    assert set(words()["en"]) == set(words()["zh-hans"])


def test_the_edge_says_it_in_the_callers_language(edges: Callable[..., Edge], http: httpx2.Client) -> None:
    one = edges(upstream=f"127.0.0.1:{free_port()}")
    told = {
        language: http.get(f"{one.url}/api/v1/wallet", headers={"Accept-Language": language}).json()
        for language in ("en-GB,en;q=0.9", "zh-CN,zh;q=0.9", "")
    }
    assert [one["title"] for one in told.values()] == [
        "Temporarily unavailable; try again",
        "暂时不可用，请重试",
        "暂时不可用，请重试",
    ]
    assert all(one["detail"] == one["title"] for one in told.values())
