"""The boards: their figures are the rows' own counts, every figure leads to its rows, and they cost a few queries."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from basis import fast
from operations import seeding
from operations.boards import finance, health, sale, sharing
from operations.boards.shape import Board, Table
from payments.models import Notification, OutboxMessage, Payment, Refund
from risk import refusals
from tests.operations.scene import Scene
from ticketing.models import Order, Ticket

# Session, user and, for who is no superuser, two of rights are among them; and the desk's sums, once they are stale.
QUERIES_AT_MOST = {"sale": 20, "finance": 22, "health": 18}
BOARDS = tuple(QUERIES_AT_MOST)


@pytest.fixture
def boss() -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(User.objects.create_superuser("boss"))
    return client


def address(name: str, **query: Any) -> str:
    return reverse(f"boards:{name}", query=query)


def sale_of(scene: Scene) -> Board:
    return sale.board(show=scene.show, shows=[scene.show], span="all", now=scene.now)


def figure(board: Board, key: str) -> Any:
    return next(one for one in board.figures if one.key == key)


def table(board: Board, key: str) -> Table:
    return next(panel for panel in board.panels if isinstance(panel, Table) and panel.key == key)


def listed(boss: Client, url: str) -> int:
    """How many rows the list at `url` has."""
    page = boss.get(url)
    assert page.status_code == 200, url
    return page.context["cl"].result_count


# -- the live sale ----------------------------------------------------------------------------------------------------


def test_the_sale_counts_what_the_lists_show(scene: Scene, undone: None, boss: Client) -> None:
    board = sale_of(scene)
    for key in ("placed", "open", "paid", "tickets", "left", "lost", "unknown"):
        one = figure(board, key)
        assert listed(boss, one.url) == int(one.value.replace(",", "")), key
    assert figure(board, "placed").value == str(Order.objects.filter(show=scene.show).count())
    assert figure(board, "tickets").value == str(
        Ticket.objects.filter(show=scene.show).exclude(state="void").count()
    )


def test_the_flow_and_the_funnel_add_up(scene: Scene, undone: None) -> None:
    board = sale_of(scene)
    flow = next(panel for panel in board.panels if panel.key == "flow")
    sums = {one.colour: sum(one.values) for one in flow.series}
    placed = Order.objects.filter(show=scene.show).count()
    assert (sums["placed"], sums["other"]) == (placed, Ticket.objects.filter(show=scene.show).count())
    funnel = next(panel for panel in board.panels if panel.key == "funnel")
    counts = [stage.count for stage in funnel.stages]
    assert counts[0] == placed
    assert counts == sorted(counts, reverse=True)


def test_refusals_are_told_with_their_reasons(scene: Scene, undone: None) -> None:
    refusals.count(scene.show.code, {"sold_out": 7, "limit_reached": 2}, now=scene.now)
    refusals.count(scene.show.code, {"sold_out": 1}, now=scene.now - timedelta(hours=2))
    refusals.count(scene.show.code, {"sold_out": 100}, now=scene.now - timedelta(hours=40))
    rows = [[str(cell.value) for cell in row] for row in table(sale_of(scene), "refusals").rows]
    assert any("Too few seats are left" in row[1] or "座位" in row[1] for row in rows)
    assert "8" in [row[2] for row in rows]


def test_the_edges_refusals_stand_with_the_others(scene: Scene, undone: None) -> None:
    """As deploy/nginx/lua/refused.lua leaves them: by show and tier, and those of no show (docs/edge.md)."""
    hour, code = int(scene.now.timestamp()) // 3600, scene.show.code
    of_show = f"refusals:{{show:{code}}}:{hour}"
    for key, reason, times in (
        (of_show, "pass_missing", 31),
        (of_show, "sold_out", 40),
        (f"{of_show}:tiers", "UPPER:sold_out", 25),
        (f"refusals:{{edge}}:{hour}", "busy", 50),
    ):
        fast.store().hincrby(key, reason, times)
    rows = {str(row[2].value): row for row in table(sale_of(scene), "refusals").rows}
    assert {"31", "40", "50"} <= set(rows)
    assert "25" in str(rows["40"][1].value)
    assert str(rows["50"][0].value) != str(rows["31"][0].value)


# -- finance ------------------------------------------------------------------------------------------------------


def test_finance_adds_up_what_the_ledger_says(scene: Scene, undone: None, boss: Client) -> None:
    Payment.objects.filter(state="succeeded").update(paid_at=scene.now)
    board = finance.board(period="today", now=scene.now)
    done = Payment.objects.filter(state="succeeded")
    assert f"{done.count():,}" in str(figure(board, "took").note)
    assert listed(boss, figure(board, "took").url) == done.count()
    assert listed(boss, figure(board, "returning").url) == Refund.objects.exclude(state="succeeded").count()
    for row in table(board, "channels").rows:
        for cell in row:
            if cell.url:
                assert boss.get(cell.url).status_code == 200, cell


@pytest.mark.parametrize("period", finance.PERIODS)
def test_periods_are_days_of_the_products_zone(period: str, scene: Scene, undone: None) -> None:
    since, until = finance.bounds(period, scene.now)
    assert (timezone.localtime(since).hour, timezone.localtime(until).hour) == (0, 0)
    assert finance.board(period=period, now=scene.now).figures


# -- health ------------------------------------------------------------------------------------------------------


def test_health_counts_what_is_stuck(scene: Scene, undone: None, boss: Client) -> None:
    now = scene.now + timedelta(minutes=2)
    board = health.board(now=now)
    assert listed(boss, figure(board, "unknown").url) == int(figure(board, "unknown").value)
    assert figure(board, "parked").value == str(Notification.objects.filter(verdict="parked").count())
    assert figure(board, "parked").tone == "danger"
    due = OutboxMessage.objects.filter(done_at=None, due_at__lte=now).count()
    assert listed(boss, figure(board, "outbox").url) == due
    assert figure(board, "ticketless").value == "0"
    for one in board.figures:
        if one.url.startswith("/"):
            assert boss.get(one.url).status_code == 200, one


def test_a_paid_order_without_its_ticket_is_seen(scene: Scene, undone: None, boss: Client) -> None:
    order = scene.orders["paid_wallet"]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ticketing_ticket WHERE order_id = %s", [order.pk])
    one = figure(health.board(now=scene.now), "ticketless")
    assert (one.value, one.tone) == ("1", "danger")
    assert listed(boss, one.url) == 1


def test_the_lag_of_callbacks_is_measured(scene: Scene, undone: None) -> None:
    payment = Payment.objects.filter(channel="alipay", state="succeeded").first()
    assert payment is not None
    assert payment.paid_at is not None
    for n in range(20):
        came = payment.paid_at + timedelta(seconds=n + 1)
        Notification.objects.create(
            channel="alipay", event_id=f"lag{n}", received_at=came, body=b"", verdict="applied",
            payment_number=payment.number, facts={"what": "Paid"}, applied_at=came + timedelta(milliseconds=100),
        )  # fmt: skip
    rows = table(health.board(now=payment.paid_at + timedelta(minutes=30)), "lags").rows
    shown = next(row for row in rows if "lag" not in str(row[0].value))
    assert int(shown[1].value) >= 20
    assert str(shown[4].value) == "0.10 s"


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOARDS)
def test_it_opens_and_its_changing_part_comes_alone(
    name: str, scene: Scene, undone: None, boss: Client
) -> None:
    whole, part = boss.get(address(name)), boss.get(address(name, part=1))
    assert (whole.status_code, part.status_code) == (200, 200)
    assert "data-board" in whole.content.decode()
    assert "<html" not in part.content.decode()
    assert "no-store" in part.headers["Cache-Control"]
    ids = re.findall(r'data-live-id="([^"]+)"', part.content.decode())
    assert len(ids) == len(set(ids)) > 5


@pytest.mark.parametrize("name", BOARDS)
def test_every_link_of_it_leads_somewhere(name: str, scene: Scene, undone: None, boss: Client) -> None:
    page = boss.get(address(name, part=1)).content.decode()
    for url in set(re.findall(r'href="(/[^"]+)"', page)):
        answer = boss.get(unescape(url))
        assert answer.status_code == 200, url


@pytest.mark.parametrize("name", BOARDS)
def test_who_may_not_see_the_rows_does_not_see_the_board(name: str, scene: Scene, undone: None) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    client = Client()
    client.force_login(clerk)
    assert client.get(address(name)).status_code == 403
    assert Client().get(address(name)).status_code == 302
    right = {"sale": "view_order", "finance": "view_payment", "health": "view_outboxmessage"}[name]
    clerk.user_permissions.add(Permission.objects.get(codename=right))
    assert client.get(address(name)).status_code == 200


@pytest.mark.parametrize("name", BOARDS)
def test_its_queries_are_few_however_much_was_sold(
    name: str, scene: Scene, undone: None, boss: Client
) -> None:
    asked = []
    for _round in range(2):
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            assert boss.get(address(name, part=1)).status_code == 200
        asked.append(len(queries))
        seeding.seed_sold(show=scene.show, seats=100, now=scene.tick())
    assert asked[1] <= asked[0] <= QUERIES_AT_MOST[name], asked


def test_who_looks_again_is_shown_what_was_counted_and_as_of_when(
    scene: Scene, undone: None, boss: Client
) -> None:
    """However many watch, it is counted once; while one counts anew, the others are shown what was counted last."""
    first = finance.board(period="today", now=scene.now)
    with CaptureQueriesContext(connection) as queries:
        again = finance.board(period="today", now=scene.tick(seconds=1))
    assert (again.as_of, again.figures[0]) == (first.as_of, first.figures[0])
    assert len(queries) <= 3  # the desk's open cases are always new
    numbers = iter(range(1, 9))
    assert [sharing.shared("again", lambda: next(numbers)) for _round in range(3)] == [1, 1, 1]
    kept = cache.get("board:again")
    cache.set("board:again", replace(kept, until=0.0), 60)
    cache.add("board:again:busy", 1, 60)
    assert sharing.shared("again", lambda: 99) == 1
    cache.delete("board:again:busy")
    assert sharing.shared("again", lambda: 99) == 99


def test_who_comes_first_counts_for_all_also_when_nothing_is_kept_yet(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, waiting, counting = [], threading.Semaphore(0), threading.Event()
    look = sharing._awaited

    def gather() -> int:
        counted.append(1)
        counting.set()
        for _ in range(3):
            assert waiting.acquire(timeout=20)
        return len(counted)

    def awaited(key: str) -> Any:
        waiting.release()
        return look(key)

    monkeypatch.setattr(sharing, "_awaited", awaited)
    with ThreadPoolExecutor(4) as crowd:
        answers = [crowd.submit(sharing.shared, "crowd", gather)]
        assert counting.wait(20)
        answers += [crowd.submit(sharing.shared, "crowd", gather) for _ in range(3)]
        assert [answer.result(30) for answer in answers] == [1, 1, 1, 1]
    assert len(counted) == 1


def test_one_who_ends_without_an_answer_keeps_nobody_waiting(db: None) -> None:
    def failing() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sharing.shared("failing", failing)
    assert sharing.shared("failing", lambda: 7) == 7


def test_what_takes_long_to_count_is_kept_for_longer(scene: Scene, undone: None) -> None:
    sharing.shared("slow", lambda: time.sleep(0.3))
    assert 2.5 < cache.get("board:slow").until - time.time() <= 6


def test_the_sidebar_shows_what_one_may_follow(scene: Scene, undone: None, boss: Client) -> None:
    assert address("sale") in boss.get(reverse("admin:index")).content.decode()
    clerk = User.objects.create_user("clerk", is_staff=True)
    client = Client()
    client.force_login(clerk)
    assert address("sale") not in client.get(reverse("admin:index")).content.decode()


def test_what_the_api_refuses_is_counted_by_show(scene: Scene, undone: None, settings: Any) -> None:
    client = Client()
    client.force_login(User.objects.create_user("refused"))
    wanted = {"show": scene.show.code, "tier": "nowhere", "quantity": 1}
    answer = client.post(
        "/api/v1/orders", wanted, content_type="application/json", headers={"Idempotency-Key": "refused-once"}
    )
    assert answer.status_code == 404, answer.content
    code = answer.json()["code"]
    assert refusals.told(scene.show.code, hours=0, now=timezone.now())[code] == 1
    assert client.get("/api/v1/orders/K0").status_code == 404
    assert sum(refusals.told(scene.show.code, hours=0, now=timezone.now()).values()) == 1


def test_what_a_page_refuses_is_counted_too(scene: Scene, undone: None) -> None:
    from ticketing.pages import refusals as said
    from ticketing.seats import SoldOut

    said.counted(SoldOut(1), scene.show.code)
    assert refusals.told(scene.show.code, hours=0, now=timezone.now())["sold_out"] == 1
