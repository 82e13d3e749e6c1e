"""
A further channel's statement is one parser and nothing else: this one, of a bank that writes a line of JSON a payment,
is put on the list of formats, and its files are uploaded, fetched, compared and become cases.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.core.management import call_command

from desk import detect
from desk.models import Case
from payments import outbox
from payments.channels import bills, registry
from payments.channels.clock import BEIJING
from payments.models import Discrepancy, Payment, Statement
from payments.reconcile import run
from payments.statement_models import StatementKind
from payments.statements import cells, fetch, formats
from payments.statements.shape import Expected, Line, Numbered, Refused
from tests.reconcile.conftest import DAY
from tests.reconcile.hand import Hand

BANK = "toybank"
MORNING = datetime(2026, 11, 20, 21, tzinfo=BEIJING)
NOON = datetime(2026, 11, 19, 12, tzinfo=BEIJING)

pytestmark = pytest.mark.django_db


# -- the parser ----------------------------------------------------------------------------------------------------


class ToyTrade:
    channel, currency = BANK, "CNY"
    kind: str = StatementKind.TRADE

    def recognises(self, head: Sequence[str]) -> bool:
        return bool(head) and head[0].startswith('{"toybank":')

    def reader(self, expected: Expected) -> ToyReader:
        return ToyReader(expected)


class ToyReader:
    covers: Sequence[str] = ("payment", "refund")
    refunds_by = "number"

    def __init__(self, expected: Expected) -> None:
        self.told: dict[str, Any] = {}
        self.clock = cells.clock_of(expected.day)

    def lines(self, numbered: Numbered) -> Iterator[Line]:
        sum_ = 0
        for number, text in numbered:
            row = json.loads(text)
            if "total" in row:
                self.told = row
                if row["total"] != sum_:
                    raise Refused(number, "totals", f"{row['total']} ≠ {sum_}")
            elif "number" in row:
                sum_ += row["minor"]
                cells.safe(row["number"])
                yield Line(
                    number, "payment", row["number"], row["number"], row["reference"], row["minor"], 0, "CNY",
                    "success", self.clock(row["at"]),
                )  # fmt: skip
        if not self.told:
            raise Refused(0, "truncated")


# -- its file, and its adapter -------------------------------------------------------------------------------------


def written(day: date, rows: list[tuple[str, int]], *, slip: int = 0) -> bytes:
    lines: list[dict[str, Any]] = [{"toybank": str(day)}]
    lines += [{"number": n, "minor": m, "reference": f"c{n}", "at": f"{day} 12:00:00"} for n, m in rows]
    lines.append({"total": sum(minor for _, minor in rows) + slip})
    return "\n".join(json.dumps(line) for line in lines).encode()


class ToyBank:
    """The adapter: what `payments.channels.bills.BillChannel` asks for, and nothing more."""

    code, merchant = BANK, "M1"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def ask_bill(self, *, kind: str, day: date) -> bills.BillResult:
        return bills.BillLink(kind) if kind in self.files else bills.BillNotReady("WRITING")

    def download_bill(self, link: bills.BillLink, into: BinaryIO) -> bills.Downloaded:
        return bills.Downloaded(into.write(self.files[link.url]))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, ToyTrade()))


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch, settings: Any) -> ToyBank:
    adapter = ToyBank()
    monkeypatch.setattr(registry, "_channels", lambda: {BANK: adapter})
    settings.STATEMENT_DAYS_BACK = 1
    return adapter


@pytest.fixture
def sales(db: None) -> tuple[Payment, Payment]:
    hand = Hand(channel=BANK)
    return hand.pay(NOON), hand.pay(NOON)


def found() -> set[tuple[str, str]]:
    return set(Discrepancy.objects.filter(channel=BANK, state="open").values_list("klass", "number"))


def cases() -> set[tuple[str, str]]:
    detect.run(now=MORNING + timedelta(minutes=5))
    return set(Case.objects.filter(channel=BANK).values_list("kind", "channel"))


def test_uploaded_compared_and_a_case(
    listed: None, sales: tuple[Payment, Payment], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, lost = sales
    path = tmp_path / "toy.json"
    path.write_bytes(written(DAY, [(kept.number, 10_000), ("PSTRAY01", 700)]))
    call_command("load_statement", str(path), "--day", str(DAY), "--channel", BANK)
    call_command("reconcile", "--channel", BANK, "--day", str(DAY))
    assert f"{BANK} {DAY}: 2 lines, 1 agree" in capsys.readouterr().out
    assert found() == {("missing_there", lost.number), ("missing_here", "PSTRAY01")}
    assert cases() == {("statement_missing_there", BANK), ("statement_missing_here", BANK)}


def test_fetched_compared_and_a_case(listed: None, bank: ToyBank, sales: tuple[Payment, Payment]) -> None:
    kept, dear = sales
    bank.files["trade"] = written(DAY, [(kept.number, 10_000), (dear.number, 10_001)], slip=1)
    fetch.plan(now=MORNING)
    while outbox.drain(clock=lambda: MORNING, lane=outbox.STATEMENTS, limit=1):
        pass
    assert cases() == {("statement_refused", BANK)}
    assert not Statement.objects.filter(kind="trade").exists()
    bank.files["trade"] = written(DAY, [(kept.number, 10_000), (dear.number, 10_001)])
    later = MORNING + fetch.AGAIN[0]
    while outbox.drain(clock=lambda: later, lane=outbox.STATEMENTS, limit=1):
        pass
    run.reconcile(channel=BANK, day=DAY, now=later)
    assert found() == {("amount_differs", dear.number)}
    assert ("statement_differs", BANK) in cases()


def test_without_the_parser_it_is_no_statement_at_all() -> None:
    with pytest.raises(Refused, match="foreign"):
        formats.find(io.BytesIO(written(DAY, [])))
