"""Judging merchants' days: every rule finds what it is for and leaves an ordinary day alone; bars learn."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.trading import assess, marking, rules, thresholds
from risk.trading.profile import Concentration, Trading
from risk.trading_models import FindingState, MerchantDay, RiskFinding, SettlementHold, TradingRule
from tests.conftest import Clock

DAY = date(2026, 11, 20)
ORDINARY = Trading(
    merchant="north", day=DAY, paid=200, took_minor=8_000_000, usual_minor=6_000_000, days_known=20,
    largest_minor=160_000, usual_largest_minor=150_000, middling_minor=40_000, at_night=6, buyers=180,
    buyer=Concentration("1", 3), device=Concentration("d", 7), card=Concentration("c", 4), refunded=8,
    refunded_soon=6, week_paid=1_300, week_refunded=60, month_paid=5_000, month_disputed=4, round_trips=1, split=2,
)  # fmt: skip
# For each rule a day that it is for.
ODD: dict[str, Trading] = {
    "surge": replace(ORDINARY, took_minor=90_000_000),
    "amount_out_of_pattern": replace(ORDINARY, largest_minor=4_000_000),
    "at_night": replace(ORDINARY, at_night=150),
    "one_buyer": replace(ORDINARY, buyer=Concentration("1", 90)),
    "one_device": replace(ORDINARY, device=Concentration("d", 120)),
    "one_card": replace(ORDINARY, card=Concentration("c", 70)),
    "refund_rate": replace(ORDINARY, week_refunded=700),
    "dispute_rate": replace(ORDINARY, month_disputed=90),
    "round_trips": replace(ORDINARY, round_trips=12),
    "refunded_soon": replace(ORDINARY, refunded_soon=60),
    "self_dealing": replace(ORDINARY, own_people=9),
    "splitting": replace(ORDINARY, split=14),
    "without_show": replace(ORDINARY, off_show=4),
}
BARS = {code: assess.Bar(code, kind.floor, 0) for code, kind in rules.RULES.items()}


def test_every_rule_has_a_day_that_it_is_for() -> None:
    assert set(ODD) == set(rules.RULES)


def test_an_ordinary_day_is_left_alone() -> None:
    assert assess.judge(ORDINARY, BARS).found == []


@pytest.mark.parametrize("code", ODD)
def test_an_odd_day_is_found_by_its_rule_alone(code: str) -> None:
    judged = assess.judge(ODD[code], BARS)
    assert [found for found, _measure, _bar in judged.found] == [code]
    assert judged.score == rules.RULES[code].weight


@pytest.mark.parametrize("code", [code for code, kind in rules.RULES.items() if kind.fewest > 1])
def test_too_few_orders_are_not_judged(code: str) -> None:
    few = replace(ODD[code], paid=rules.RULES[code].fewest - 1)
    assert rules.RULES[code].measure(few) is None


# -- bars ------------------------------------------------------------------------------------------------------

measures = st.lists(st.floats(0, 1000), max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.none() | st.floats(0, 1000), measures, measures, st.floats(0, 100))
def test_a_bar_is_never_below_its_floor_and_never_hides_what_was_confirmed(
    usual: float | None, alarms: list[float], confirmed: list[float], floor: float
) -> None:
    bar = thresholds.learned(usual=usual, floor=floor, false_alarms=alarms, confirmed=confirmed)
    assert bar >= floor
    if confirmed:
        assert bar <= max(floor, min(confirmed))


def test_the_population_says_what_is_too_much() -> None:
    assert thresholds.learned(usual=0.98, floor=0.2) == 0.98
    assert thresholds.learned(usual=0.1, floor=0.2) == thresholds.learned(floor=0.2) == 0.2


def test_false_alarms_of_several_merchants_raise_the_bar_for_all_one_does_not() -> None:
    assert thresholds.learned(floor=0.2, false_alarms=[0.5, 0.5]) == 0.2
    assert thresholds.learned(floor=0.2, false_alarms=[0.5, 0.5, 0.5]) > 0.5


def test_a_merchants_own_false_alarm_raises_its_bar_until_something_is_confirmed() -> None:
    assert thresholds.own(0.2, false_alarm=0.5, confirmed=False) == pytest.approx(0.6)
    assert thresholds.own(0.2, false_alarm=0.1, confirmed=False) == 0.2
    assert thresholds.own(0.2, false_alarm=0.5, confirmed=True) == 0.2
    assert thresholds.own(0.2, false_alarm=None, confirmed=False) == 0.2


def test_a_few_orders_are_no_habit_however_small_the_merchant() -> None:
    small = replace(ORDINARY, paid=12, buyer=Concentration("1", 5))
    assert rules.RULES["one_buyer"].measure(small) == 0.0
    assert rules.RULES["one_buyer"].measure(replace(small, buyer=Concentration("1", 6))) == 0.5
    assert rules.RULES["dispute_rate"].measure(replace(ORDINARY, month_paid=40, month_disputed=2)) == 0.0


# -- findings ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestFindings:
    def test_the_same_day_is_judged_again_and_found_once(self, clock: Clock) -> None:
        odd = replace(ODD["one_buyer"], numbers={"one_buyer": ["K1", "K2"]})
        assess.assess([odd], now=clock())
        assess.assess([replace(odd, buyer=Concentration("1", 100))], now=clock.advance(minutes=5))
        finding = RiskFinding.objects.get()
        assert (finding.rule, finding.measure, finding.evidence["orders"]) == ("one_buyer", 0.5, ["K1", "K2"])
        assert finding.seen_at - finding.found_at == timedelta(minutes=5)
        assert MerchantDay.objects.get().score == 25

    def test_what_staff_marked_stays_as_it_is(self, clock: Clock) -> None:
        assess.assess([ODD["one_buyer"]], now=clock())
        finding = RiskFinding.objects.get()
        marking.mark(
            finding_id=finding.pk, state="false_alarm", actor="mei", reason="a school class", now=clock()
        )
        assess.assess([replace(ODD["one_buyer"], buyer=Concentration("1", 150))], now=clock())
        finding.refresh_from_db()
        assert (finding.state, finding.measure, finding.reason) == (
            FindingState.FALSE_ALARM,
            0.45,
            "a school class",
        )
        with pytest.raises(marking.MarkedBefore):
            marking.mark(finding_id=finding.pk, state="confirmed", actor="bo", reason="no", now=clock())

    def test_a_false_alarm_does_not_ring_again(self, clock: Clock) -> None:
        assess.assess([ODD["one_buyer"]], now=clock())
        marking.mark(
            finding_id=RiskFinding.objects.get().pk,
            state="false_alarm",
            actor="mei",
            reason="a school class",
            now=clock(),
        )
        assess.learn(until=DAY + timedelta(days=1), now=clock())
        assert TradingRule.objects.get(code="one_buyer").learned_from["false_alarms"] == 1
        assess.assess([replace(ODD["one_buyer"], day=DAY + timedelta(days=1))], now=clock())
        assert RiskFinding.objects.count() == 1
        assess.assess(
            [replace(ORDINARY, day=DAY + timedelta(days=2), buyer=Concentration("1", 190))], now=clock()
        )
        assert RiskFinding.objects.count() == 2

    def test_what_one_merchant_may_do_no_other_may(self, clock: Clock) -> None:
        assess.assess([ODD["one_buyer"]], now=clock())
        marking.mark(
            finding_id=RiskFinding.objects.get().pk, state="false_alarm", actor="mei", reason="x", now=clock()
        )
        assess.learn(until=DAY + timedelta(days=1), now=clock())
        next_day = replace(ODD["one_buyer"], day=DAY + timedelta(days=1))
        assess.assess([next_day, replace(next_day, merchant="south")], now=clock())
        assert list(RiskFinding.objects.filter(state="open").values_list("merchant", flat=True)) == ["south"]

    def test_what_was_confirmed_is_no_part_of_what_is_usual(self, clock: Clock) -> None:
        crowd = [
            replace(ORDINARY, merchant=f"m{n}", buyer=Concentration("1", 10 + n), day=DAY) for n in range(40)
        ]
        odd = [replace(ODD["one_buyer"], merchant=f"odd{n}") for n in range(10)]
        assess.assess(crowd + odd, now=clock())
        before = assess.learn(until=DAY + timedelta(days=1), now=clock())["one_buyer"]
        for finding in RiskFinding.objects.filter(merchant__startswith="odd"):
            marking.mark(finding_id=finding.pk, state="confirmed", actor="mei", reason="x", now=clock())
        after = assess.learn(until=DAY + timedelta(days=1), now=clock())["one_buyer"]
        assert (before, after) == (0.45, pytest.approx(0.24, abs=0.01))

    def test_bars_are_learned_from_many_merchants(self, clock: Clock) -> None:
        crowd = [
            replace(ORDINARY, merchant=f"m{n}", buyer=Concentration("1", 40 + n), day=DAY) for n in range(40)
        ]
        assess.assess(crowd, now=clock())
        learned = assess.learn(until=DAY + timedelta(days=1), now=clock())
        assert 0.38 < learned["one_buyer"] < 0.40
        assert assess.bars()["one_buyer"].compared_with == 40

    def test_a_rule_that_is_off_finds_nothing(self, clock: Clock) -> None:
        TradingRule.objects.create(code="one_buyer", is_on=False)
        assess.assess([ODD["one_buyer"]], now=clock())
        assert not RiskFinding.objects.exists()

    def test_settlement_is_held_and_lifted_with_reasons(self, clock: Clock) -> None:
        with pytest.raises(marking.NoReason):
            marking.hold(merchant="north", actor="mei", reason="  ", now=clock())
        marking.hold(merchant="north", actor="mei", reason="self-dealing", now=clock())
        assert marking.is_held("north")
        assert not marking.is_held("south")
        with pytest.raises(marking.HeldBefore):
            marking.hold(merchant="north", actor="bo", reason="again", now=clock())
        marking.lift(merchant="north", actor="bo", reason="explained", now=clock())
        assert not marking.is_held("north")
        with pytest.raises(marking.NotHeld):
            marking.lift(merchant="north", actor="bo", reason="again", now=clock())
        marking.hold(merchant="north", actor="mei", reason="once more", now=clock())
        assert SettlementHold.objects.filter(merchant="north").count() == 2


# -- the staff's page --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestPage:
    @pytest.fixture
    def finding(self, clock: Clock) -> RiskFinding:
        assess.assess([replace(ODD["self_dealing"], numbers={"self_dealing": ["K1"]})], now=clock())
        return RiskFinding.objects.get()

    def page(self, finding: RiskFinding, what: str = "") -> str:
        from django.urls import reverse

        return reverse(f"admin:risk_riskfinding_{what or 'change'}", args=[finding.pk])

    def signed_in(self, client: Any, *rights: str) -> Any:
        from django.contrib.auth.models import Permission

        from accounts.models import User

        user = User.objects.create_user("risk-clerk", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=("view_riskfinding", *rights)))
        client.force_login(user)
        return client

    def test_evidence_is_shown_and_a_false_alarm_is_marked(self, client: Any, finding: RiskFinding) -> None:
        client = self.signed_in(client, "change_riskfinding")
        page = client.get(self.page(finding)).content.decode()
        assert "K1" in page
        assert 'value="false_alarm"' in page
        assert 'value="hold"' not in page
        client.post(self.page(finding, "decide"), {"what": "false_alarm", "reason": "rehearsal of the crew"})
        finding.refresh_from_db()
        assert (finding.state, finding.marked_by) == ("false_alarm", "risk-clerk")

    def test_without_a_reason_nothing_happens(self, client: Any, finding: RiskFinding) -> None:
        client = self.signed_in(client, "change_riskfinding")
        client.post(self.page(finding, "decide"), {"what": "confirmed", "reason": " "})
        finding.refresh_from_db()
        assert finding.state == "open"

    def test_who_may_not_hold_cannot(self, client: Any, finding: RiskFinding) -> None:
        client = self.signed_in(client, "change_riskfinding")
        answer = client.post(self.page(finding, "decide"), {"what": "hold", "reason": "because"})
        assert answer.status_code == 403
        assert not SettlementHold.objects.exists()

    def test_settlement_is_held_from_the_page(self, client: Any, finding: RiskFinding) -> None:
        client = self.signed_in(client, "hold_settlement")
        client.post(self.page(finding, "decide"), {"what": "hold", "reason": "sells to itself"})
        assert marking.is_held("north")
        assert 'value="lift"' in client.get(self.page(finding)).content.decode()
        client.post(self.page(finding, "decide"), {"what": "lift", "reason": "explained"})
        assert not marking.is_held("north")
