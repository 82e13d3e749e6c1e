"""What the documents claim is there: the tests they name, the pages they link, the states they draw."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]


def named_in(path: Path) -> set[str]:
    """Every function and class of a test file, methods as `Class::method`."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("document", PAGES, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(document: Path):
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", document.read_text()):
        assert (ROOT / path).exists(), f"{document.name} names {path}"
        if name:
            assert name in named_in(ROOT / path), f"{document.name} names {path}::{name}"


@pytest.mark.parametrize("document", PAGES, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(document: Path):
    text = document.read_text()
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^"]+)"', text)
    for link in links:
        if "://" not in link and not link.startswith("mailto:"):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"


def test_both_readmes_show_the_same_rows():
    english, chinese = (readme.read_text() for readme in READMES)
    tests = re.compile(r"`(tests/[\w/.:]+)`")
    assert sorted(tests.findall(english)) == sorted(tests.findall(chinese))
    assert english.count("```") == chinese.count("```")


@pytest.mark.parametrize(
    ("start", "lifecycle"), [("## The order's states", "ORDER"), ("## The payment's states", "PAYMENT")]
)
def test_the_drawn_states_are_moves_of_the_table(start: str, lifecycle: str):
    from payments.models import PAYMENT_LIFECYCLE
    from ticketing.models import ORDER_LIFECYCLE

    table = {"ORDER": ORDER_LIFECYCLE, "PAYMENT": PAYMENT_LIFECYCLE}[lifecycle]
    drawing = (ROOT / "docs" / "flow.md").read_text().split(start)[1].split("```")[1]
    drawn = set(re.findall(r"^\s+(\w+) --> (\w+)", drawing, flags=re.M))
    assert drawn == {(str(a), str(b)) for a, targets in table.moves.items() for b in targets}
