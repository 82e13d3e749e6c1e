"""A statement is loaded whole or not at all, once, and never changes again."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from payments.models import Statement, StatementLine
from payments.statement_models import StatementSource
from payments.statements import load
from payments.statements.load import Wanted
from payments.statements.shape import Refused
from tests.statements import papers
from tests.statements.papers import DAY, MCHID, SELLER

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
OURS = {"alipay": SELLER, "wechat": MCHID}


def load_it(file, *, day=DAY, channel="", kind="", **more):
    wanted = Wanted(day=day, channel=channel, kind=kind, merchants=OURS)
    return load.load(file, wanted=wanted, source=StatementSource.UPLOADED, now=NOW, by="lin", **more)


def kept(store):
    return [path for path in store.glob("**/*") if path.is_file()] if store.exists() else []


@pytest.mark.django_db
def test_lines_totals_and_the_file_itself(store):
    file = papers.wechat()

    statement = load_it(file)

    statement.refresh_from_db()
    assert (statement.channel, statement.kind, statement.day, statement.lines) == ("wechat", "trade", DAY, 3)
    assert statement.totals["payment"] == {"count": 2, "amount_minor": 176009, "fee_milli": 1056054}
    assert statement.totals["refund"] == {"count": 1, "amount_minor": -10050, "fee_milli": -60300}
    assert statement.totals["told"]["订单总金额"] == "1760.09"
    assert statement.sha256 == hashlib.sha256(file.getvalue()).hexdigest()
    with statement.file.open("rb") as stored:
        assert stored.read() == file.getvalue()
    lines = list(StatementLine.objects.order_by("line_no"))
    assert [(line.statement_id, line.line_no, line.number) for line in lines] == [
        (statement.pk, 2, "PAYMENT00000001"),
        (statement.pk, 3, "PAYMENT00000002"),
        (statement.pk, 4, "REFUND000000001"),
    ]
    shanghai = datetime(2026, 11, 20, 10, 0, 3, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert (lines[0].day, lines[0].happened_at) == (DAY, shanghai)


@pytest.mark.django_db
def test_both_kinds_of_both_channels(store):
    for file in (
        papers.alipay(),
        papers.alipay(papers.ALIPAY_FUNDS, what="账务明细", summary_first=True),
        papers.wechat(),
        papers.wechat(papers.WECHAT_FUNDS),
    ):
        load_it(file)
    found = Statement.objects.order_by("pk").values_list("channel", "kind", "lines")
    assert list(found) == [
        *[("alipay", "trade", 3), ("alipay", "funds", 4)],
        *[("wechat", "trade", 3), ("wechat", "funds", 4)],
    ]
    assert len(kept(store)) == 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"channel": "alipay"}, "other_statement"),
        ({"kind": "funds"}, "other_statement"),
        ({"day": DAY + timedelta(days=1)}, "other_day"),
    ],
)
def test_another_statement_than_the_one_asked_for(asked, reason, store):
    with pytest.raises(Refused) as caught:
        load_it(papers.wechat(), **asked)
    assert caught.value.reason == reason
    assert not Statement.objects.exists()


@pytest.mark.django_db
def test_a_refused_file_leaves_nothing(store):
    with pytest.raises(Refused) as caught:
        load_it(papers.wechat(papers.WECHAT_ALL.replace("`3.0", "`4.0")))
    assert (caught.value.line, caught.value.reason) == (6, "totals")
    assert not StatementLine.objects.exists()
    assert not Statement.objects.exists()
    assert kept(store) == []


@pytest.mark.django_db
def test_what_one_left_who_was_killed_while_keeping_the_file_is_not_taken_for_it(store):
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(load, "_enter", None)  # nothing is committed; the file is on disk
        with pytest.raises(TypeError):
            load_it(papers.wechat())
    [path] = kept(store)
    path.write_bytes(path.read_bytes()[:100])
    statement = load_it(papers.wechat())
    assert statement.file.read() == papers.wechat().getvalue()
    assert kept(store) == [path]


@pytest.mark.django_db
def test_the_same_file_twice_is_refused(store):
    load_it(papers.wechat(zipped_up=False))
    with pytest.raises(Refused) as caught:
        load_it(papers.wechat(zipped_up=False), replace=True)
    assert caught.value.reason == "doubled"
    assert StatementLine.objects.count() == 3


@pytest.mark.django_db
def test_a_newer_file_replaces_only_when_told_to(store):
    first = load_it(papers.wechat())
    newer = papers.WECHAT_ALL.replace("`PROCESSING", "`SUCCESS")
    with pytest.raises(Refused) as caught:
        load_it(papers.wechat(newer))
    assert caught.value.reason == "known_day"

    second = load_it(papers.wechat(newer), replace=True)

    first.refresh_from_db()
    assert first.replaced_by_id == second.pk
    assert load.current(channel="wechat", kind="trade", day=DAY) == second
    assert StatementLine.objects.filter(statement=first).count() == 3  # what was said stays said
    with pytest.raises(Refused) as caught:
        load_it(papers.wechat(), replace=True)
    assert caught.value.reason == "doubled"


def numbers(statement):
    lines = StatementLine.objects.filter(statement=statement).order_by("kind")
    return list(lines.values_list("kind", "number"))


@pytest.mark.django_db
@pytest.mark.parametrize("order", [("WECHAT_SUCCESS", "WECHAT_REFUND"), ("WECHAT_REFUND", "WECHAT_SUCCESS")])
def test_the_halves_of_a_day_are_joined_whichever_comes_first(store, order):
    first, second = (load_it(papers.wechat(getattr(papers, name))) for name in order)
    first.refresh_from_db()
    assert (first.lines, first.is_whole, first.replaced_by_id) == (1, False, second.pk)
    assert (second.lines, second.is_whole, second.totals["joined"]) == (2, True, first.pk)
    assert numbers(second) == [("payment", "PAYMENT00000001"), ("refund", "REFUND000000001")]
    assert second.totals["payment"] == {"count": 1, "amount_minor": 176000, "fee_milli": 1056000}
    assert second.totals["refund"]["amount_minor"] == -10050
    assert second.totals["told"]["payment"]["订单总金额"] == "1760.00"
    assert second.totals["told"]["refund"]["申请退款总金额"] == "100.50"
    assert load.current(channel="wechat", kind="trade", day=DAY) == second


@pytest.mark.django_db
def test_a_half_that_is_there_is_replaced_only_when_told_to_and_leaves_the_other_as_it_is(store):
    load_it(papers.wechat(papers.WECHAT_SUCCESS))
    load_it(papers.wechat(papers.WECHAT_REFUND))
    newer = papers.wechat(papers.WECHAT_SUCCESS.replace("PAYMENT00000001", "PAYMENT00000009"))
    with pytest.raises(Refused) as caught:
        load_it(newer)
    assert caught.value.reason == "known_day"
    joined = load_it(newer, replace=True)
    assert numbers(joined) == [("payment", "PAYMENT00000009"), ("refund", "REFUND000000001")]
    assert joined.totals["told"]["refund"]["申请退款总金额"] == "100.50"
    whole = load_it(papers.wechat(), replace=True)
    assert (len(numbers(whole)), "joined" in whole.totals) == (3, False)


@pytest.mark.django_db
def test_a_refused_half_leaves_the_other_alone(store):
    first = load_it(papers.wechat(papers.WECHAT_SUCCESS))
    with pytest.raises(Refused):
        load_it(papers.wechat(papers.WECHAT_REFUND.replace("`1.0,", "`2.0,")))
    assert load.current(channel="wechat", kind="trade", day=DAY) == first
    assert StatementLine.objects.count() == 1


@pytest.mark.django_db
def test_a_day_without_anything(store):
    statement = load.load_nothing(wanted=Wanted(DAY, "alipay", "trade"), now=NOW)
    assert (statement.lines, statement.file.name, statement.totals) == (
        0,
        "",
        {"covers": ["payment", "refund"]},
    )
    with pytest.raises(Refused):
        load.load_nothing(wanted=Wanted(DAY, "alipay", "trade"), now=NOW)
    # The channel may find something after all; that takes a person's word.
    assert load_it(papers.alipay(), replace=True).lines == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments_statementline SET amount_minor = 0",
        "DELETE FROM payments_statementline",
        "TRUNCATE payments_statementline CASCADE",
        "UPDATE payments_statement SET lines = 0",
        "DELETE FROM payments_statement",
    ],
)
def test_the_database_refuses_to_change_what_a_channel_said(statement, store):
    load_it(papers.wechat())
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert StatementLine.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_two_who_load_the_same_at_once_load_it_once(store):
    barrier, outcomes = threading.Barrier(2), []

    def loader():
        barrier.wait()
        try:
            outcomes.append(load_it(papers.wechat(zipped_up=False)).lines)
        except Refused as error:
            outcomes.append(error.reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=loader) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 3 in outcomes
    assert set(outcomes) - {3} <= {"being_loaded", "doubled"}
    assert StatementLine.objects.count() == 3
