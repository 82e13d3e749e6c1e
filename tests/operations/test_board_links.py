"""Every number of the boards leads to the rows behind it: so many of them, or so much money in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Q
from django.test import Client
from django.urls import reverse

from accounts.models import User
from operations.boards import finance, health, sale
from operations.boards.shape import Board, Chart, Funnel, Table
from payments.models import Discrepancy, Payment
from tests.operations.scene import Scene
from wallet import ledger
from wallet.models import Account

NUMBER = re.compile(r"-?[\d,]+").fullmatch
MONEY = re.compile(r"(-?)¥([\d,]+\.\d\d)").fullmatch
# Numbers without rows: what is computed from other figures, what lives in the fast store, what a server says of itself.
ROWLESS = {
    "sale": {"tiers:submitted, unanswered", "tiers:share sold", "channels:of those that ended", "refusals:how often"},
    "finance": {"channels:remains"},
    "health": {"outbox:oldest due", "lines:bound", "workers:last sign", "stores:now"},
}  # fmt: skip
# A time: it leads to the rows that it was measured from.
MEASURED = {"figure:callback lag, p95", "figure:beat", "lags:until it comes, p50", "lags:p95",
            "lags:until it is applied, p50", "returning:oldest"}  # fmt: skip


@pytest.fixture
def boss() -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture(params=["sale", "finance", "health"])
def board(request: pytest.FixtureRequest, scene: Scene, undone: None) -> tuple[str, Board]:
    from django.utils import translation

    Payment.objects.filter(state="succeeded").update(paid_at=scene.now)
    with translation.override("en"):
        boards = {
            "sale": lambda: sale.board(show=scene.show, shows=[scene.show], span="all", now=scene.now),
            "finance": lambda: finance.board(period="7d", now=scene.now),
            "health": lambda: health.board(now=scene.now),
        }
        return request.param, boards[request.param]()


def numbers(board: Board) -> Iterator[tuple[str, str, str]]:
    """Every number of figures, tables and funnels: where, as shown, and its link."""
    for figure in board.figures:
        yield f"figure:{figure.text}", str(figure.value), figure.url
    for panel in board.panels:
        if isinstance(panel, Table):
            for row in panel.rows:
                for header, cell in zip(panel.headers, row, strict=True):
                    if cell.number:
                        yield f"{panel.key}:{header}", str(cell.value), cell.url
        elif isinstance(panel, Funnel):
            for stage in panel.stages:
                yield f"{panel.key}:{stage.text}", str(stage.count), stage.url


def rows(boss: Client, url: str) -> Any:
    page = boss.get(url)
    assert page.status_code == 200, url
    return page.context["cl"] if page.context and "cl" in page.context else None


def money_in(listed: Any, where: str = "") -> int:
    """What the listed rows add up to, in fen."""
    found = list(listed.queryset)
    if "frozen" in where:
        return sum(one.held_minor for one in found)
    if listed.model is Account:
        return sum(ledger.balance(f"{one.kind}:{one.owner}:{one.currency}") for one in found)
    if listed.model is Discrepancy:
        return sum(
            abs((one.ours_minor or 0) - (one.theirs_minor or 0)) or abs(one.theirs_minor or 0)
            for one in found
        )
    if hasattr(listed.model, "fee_milli"):
        return round(sum(one.fee_milli for one in found) / 1000)
    return sum(one.amount_minor for one in found)


def test_every_number_has_its_rows(board: tuple[str, Board], boss: Client) -> None:
    name, shown = board
    checked = 0
    for where, text, url in numbers(shown):
        if where in ROWLESS[name] or where in MEASURED:
            continue
        count, money = NUMBER(text), MONEY(text)
        if not (count or money) or text in ("0", "¥0.00"):
            continue
        assert url, f"{where}: {text} leads nowhere"
        listed = rows(boss, url) if url.startswith("/") else None
        if listed is None:
            continue  # one thing's own page, or a table of the same board
        if count:
            assert listed.result_count == int(text.replace(",", "")), f"{where}: {url}"
        elif money:
            told = int(money[2].replace(",", "").replace(".", "")) * (-1 if money[1] else 1)
            found = money_in(listed, where)
            # What a channel owes us stands below zero in the ledger.
            assert told in ((-found, found) if "unsettled" in where else (found,)), f"{where}: {url}"
        checked += 1
    assert checked >= {"sale": 25, "finance": 20, "health": 5}[name]


def test_every_bar_has_its_rows(board: tuple[str, Board], boss: Client) -> None:
    """Pressing into a chart lists what is drawn there."""
    _name, shown = board
    for chart in (panel for panel in shown.panels if isinstance(panel, Chart) and panel.links):
        drawn = json.loads(chart.data)["series"]
        for place, url in enumerate(chart.links):
            values = [series["values"][place] for series in drawn]
            if not any(values):
                continue
            listed = rows(boss, url)
            if chart.key == "days":
                took = round(100 * sum(value for value in values if value > 0))
                assert money_in(listed) == took, url
            elif chart.key == "flow":
                assert listed.result_count == values[0], url
            else:
                assert listed.result_count == sum(values), url


def test_a_search_for_one_account_finds_it_alone(scene: Scene, undone: None, boss: Client) -> None:
    """What the finance board's unsettled sums lead to: the postings of that one account."""
    account = Account.objects.filter(kind="clearing", owner="alipay").first()
    assert account is not None
    code = f"{account.kind}:{account.owner}:{account.currency}"
    listed = rows(boss, reverse("admin:wallet_posting_changelist", query={"q": code}))
    assert listed.result_count == listed.model.objects.filter(Q(account=account)).count() > 0
