"""A day with every kind of difference: all of them are found, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from operations import planted
from operations.planted import kinds
from payments.models import Discrepancy, ReconcileRun
from payments.reconcile import run
from tests.reconcile.conftest import DAY, MORNING_AFTER, later, unsettled


@pytest.fixture
def day(db: None, tmp_path: Path, load: Callable[..., object]) -> planted.Planted:
    made = planted.plant(lines=2_400, day=DAY, folder=tmp_path, now=MORNING_AFTER, of_each=2)
    load(made.path, DAY)
    return made


def test_all_are_found_and_nothing_else(day: planted.Planted) -> None:
    assert day.kinds >= 14
    counts = run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    assert unsettled() == day.expected
    assert sum(counts["found"].values()) == len(day.expected)
    assert counts["lines"] == day.lines
    odd = Discrepancy.objects.exclude(line=None).values("line").distinct().count()
    assert counts["matched"] == day.lines - odd
    carried = Discrepancy.objects.filter(state="carried")
    assert set(carried.values_list("klass", flat=True)) == {"crossing"}


def test_running_again_changes_nothing(day: planted.Planted) -> None:
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    before = list(Discrepancy.objects.order_by("pk").values())
    counts = run.reconcile(channel="alipay", day=DAY, now=later(0.01))
    assert list(Discrepancy.objects.order_by("pk").values()) == before
    assert (counts["opened"], counts["settled_by_itself"]) == (0, 0)
    assert ReconcileRun.objects.get().rounds == 2


def test_what_crossed_midnight_is_matched_the_next_day_and_what_was_lost_is_missing(
    day: planted.Planted, load: Callable[..., object]
) -> None:
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    crossing = set(Discrepancy.objects.filter(klass="crossing").values_list("number", flat=True))
    load(day.next_path, DAY + timedelta(days=1))
    run.reconcile(channel="alipay", day=DAY + timedelta(days=1), now=later(1))
    assert not Discrepancy.objects.filter(state="carried").exists()
    ended = dict(Discrepancy.objects.filter(klass="crossing").values_list("number", "resolution"))
    assert ended == {
        number: "still_missing" if number in day.lost else "matched_later" for number in crossing
    }
    missing = {("missing_there", number) for number in day.lost}
    assert unsettled() == {each for each in day.expected if each[0] != "crossing"} | missing


def test_a_dry_run_tells_and_keeps_nothing(day: planted.Planted) -> None:
    counts = run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER, dry_run=True)
    assert sum(counts["found"].values()) == len(day.expected)
    assert not Discrepancy.objects.exists()
    assert not ReconcileRun.objects.exists()


def test_every_class_is_planted_but_those_of_other_files(day: planted.Planted) -> None:
    planted_classes = {*kinds.PAYMENTS.values(), *kinds.REFUNDS.values()}
    from payments.reconcile_models import Klass

    assert set(Klass.values) - planted_classes == {"funds_differ"}
