"""`manage.py load_statement`: what staff with a shell and scripts use, with errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from operations.management.commands import load_statement
from payments.models import Statement
from tests.statements import papers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]
DAY = str(papers.DAY)


@pytest.fixture
def paper(tmp_path: Path) -> Any:
    def written(text: str = papers.WECHAT_ALL) -> str:
        path = tmp_path / "bill.csv"
        path.write_bytes(papers.wechat(text, zipped_up=False).getvalue())
        return str(path)

    return written


def test_it_loads_and_tells_what(paper: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_statement", paper(), "--day", DAY)
    out = capsys.readouterr().out
    assert f"wechat trade {DAY}: 3 lines loaded in" in out
    assert "2 payment 1,760.09, 1 refund -100.50" in out
    assert Statement.objects.get().source == "uploaded"
    newer = papers.WECHAT_ALL.replace("`PROCESSING", "`SUCCESS")
    with pytest.raises(CommandError, match="another statement of this day is loaded"):
        call_command("load_statement", paper(newer), "--day", DAY)
    call_command("load_statement", paper(newer), "--day", DAY, "--replace", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["lines"], told["covers"], told["totals"]["refund"]["count"]) == (3, ["payment", "refund"], 1)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (papers.WECHAT_ALL.replace("`3.0", "`4.0"), [], "Line 6: the file's own totals disagree"),
        (papers.WECHAT_ALL, ["--channel", "alipay"], "this is another statement than the one asked for"),
        (papers.WECHAT_ALL, ["--kind", "funds"], "this is another statement than the one asked for"),
        ("name,amount\n1,2\n", [], "this is no statement of a known channel"),
    ],
)
def test_a_refusal_names_the_line_and_leaves_nothing(
    paper: Any, capsys: pytest.CaptureFixture[str], text: str, options: list[str], said: str
) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("load_statement", paper(text), "--day", DAY, "--json", *options)
    assert json.loads(capsys.readouterr().out).keys() == {"refused", "line", "detail"}
    assert not Statement.objects.exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("load_statement", str(tmp_path / "none.zip"), "--day", DAY)


def test_a_pipe_gets_plain_lines(
    paper: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_statement, "LINES_EVERY_S", 0)
    monkeypatch.setattr("payments.statements.load.ROWS_A_WRITE", 1)
    call_command("load_statement", paper(), "--day", DAY)
    assert capsys.readouterr().err.splitlines() == [f"bill.csv: {rows} lines" for rows in (1, 2, 3)]
