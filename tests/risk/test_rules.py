"""The rules, one by one and together: what they find, how staff tune them, what a broken one does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from basis import fast
from risk import counters, judge, lists, policy, records, rules
from risk.features import ORDER, Features, History, Rates
from risk.models import GateSetting, Judgement, ListEntry, RuleSetting

PLAIN = Features(
    purpose=ORDER,
    show="s",
    buyer_id=7,
    address="203.0.113.9",
    device="d" * 64,
    agent="Mozilla/5.0",
    language="zh-CN",
    account_age=timedelta(days=90),
    document="x" * 64,
    rates=Rates(),
    history=History(),
)


def like(**other) -> Features:
    from dataclasses import replace

    return replace(PLAIN, **other)


FOUND = {
    "often_by_buyer": like(rates=Rates({("buyer", 60): 21})),
    "often_by_address": like(rates=Rates({("address", 60): 301})),
    "often_by_device": like(rates=Rates({("device", 60): 31})),
    "many_buyers_on_device": like(rates=Rates(buyers_on_device=4)),
    "many_buyers_on_address": like(rates=Rates(buyers_on_address=201)),
    "many_addresses_of_buyer": like(rates=Rates(addresses_of_buyer=6)),
    "script_agent": like(agent="python-requests/2.32"),
    "no_device_mark": like(device=""),
    "no_language": like(language=""),
    "young_account": like(account_age=timedelta(minutes=5)),
    "holds_and_lets_go": like(history=History(placed=9, unpaid_ended=8, paid=1)),
    "refunds_often": like(history=History(refunded=4)),
    "no_document": like(document=""),
}


@pytest.mark.parametrize("code", sorted(rules.RULES))
def test_each_rule_finds_its_case_and_nothing_in_a_plain_buyer(code):
    kind, parameters = rules.RULES[code], rules.checked(code, {})
    assert kind.judge(PLAIN, parameters) is None
    assert kind.judge(FOUND[code], parameters).message
    assert kind.about


def judged(features: Features) -> judge.Verdict:
    policy.forget()
    return judge.judge(features, policy=policy.current(), now=timezone.now())


def switch(code: str, **fields) -> RuleSetting:
    row = RuleSetting(code=code, **{"mode": "on", "verdict": "score", "weight": 30} | fields)
    row.full_clean()
    row.save()
    return row


@pytest.mark.django_db
class TestWithPolicy:
    def test_without_a_policy_everything_passes_and_nothing_is_gathered(self):
        assert judged(FOUND["script_agent"]).verdict == judge.ALLOW
        assert not policy.current().judges

    def test_weights_add_up_to_a_challenge_and_to_a_denial(self):
        for code in ("script_agent", "no_device_mark", "no_language", "young_account"):
            switch(code)
        odd = {"agent": "curl/8", "device": ""}
        assert judged(like(agent="curl/8")).verdict == judge.ALLOW
        assert judged(like(**odd)).verdict == judge.CHALLENGE
        worst = judged(like(**odd, language="", account_age=timedelta(0)))
        assert (worst.verdict, worst.score) == (judge.DENY, 120)
        assert [reason.code for reason in worst.reasons] == [
            "no_device_mark",
            "no_language",
            "script_agent",
            "young_account",
        ]

    def test_a_rule_may_decide_alone(self):
        switch("script_agent", verdict="deny", weight=0)
        assert judged(like(agent="curl/8")).verdict == judge.DENY

    def test_a_shadow_rule_judges_and_does_not_act(self):
        switch("script_agent", mode="shadow", verdict="deny")
        seen = judged(like(agent="curl/8"))
        assert (seen.verdict, seen.would) == (judge.ALLOW, judge.DENY)
        assert [reason.acted for reason in seen.reasons] == [False]

    def test_staff_tune_it_and_the_score_without_a_deploy(self):
        row = switch("often_by_buyer", parameters={"window_s": 10, "most": 2}, weight=50)
        fast_one = like(rates=Rates({("buyer", 10): 3}))
        assert judged(fast_one).verdict == judge.CHALLENGE
        row.parameters = {"window_s": 10, "most": 5}
        row.save()
        assert judged(fast_one).verdict == judge.ALLOW
        GateSetting(challenge_at=200, deny_at=400).save()
        switch("young_account", weight=150)
        assert judged(like(account_age=timedelta(0))).verdict == judge.ALLOW

    @pytest.mark.parametrize(
        "parameters",
        [{"most": 0}, {"most": "3"}, {"most": True}, {"window_s": 7}, {"colour": 1}, {"most": 10**9}],
    )
    def test_parameters_that_the_rule_does_not_have_are_refused(self, parameters):
        with pytest.raises(ValidationError):
            switch("often_by_buyer", parameters=parameters)

    def test_a_rule_that_crashes_is_a_finding_and_does_what_staff_chose(self, monkeypatch):
        broken = rules.RuleKind("no_language", lambda features, parameters: 1 / 0, (), frozenset())
        monkeypatch.setitem(rules.RULES, "no_language", broken)
        row = switch("no_language")
        seen = judged(PLAIN)
        assert (seen.verdict, seen.reasons[0].code) == (judge.ALLOW, judge.RULE_FAILED)
        row.if_failed = "deny"
        row.save()
        assert judged(PLAIN).verdict == judge.DENY

    def test_the_policy_is_read_again_only_when_its_version_changed(
        self, django_assert_num_queries, monkeypatch
    ):
        switch("no_language")
        policy.current()
        with django_assert_num_queries(0):
            policy.current()
        monkeypatch.setattr(policy, "LOOK_EVERY_S", 0)
        with django_assert_num_queries(1):
            held = policy.current()
        RuleSetting.objects.update(weight=99)  # in bulk, past every save()
        assert policy.current() is not held
        assert policy.current().rules[0].weight == 99


@pytest.mark.django_db
class TestLists:
    def put(self, kind, subject, text, **more):
        value, hint = lists.stored(subject, text)
        return ListEntry.objects.create(
            kind=kind, subject=subject, value=value, hint=hint, reason="why", **more
        )

    def test_each_kind_of_entry_matches(self):
        sealed = {name: lists.stored(name, "4402-secret")[0] for name in ("device", "card", "document")}
        cases = [
            ("buyer", "7", PLAIN),
            ("address", "203.0.113.9", PLAIN),
            ("network", "203.0.113.0/24", PLAIN),
            ("network", "2001:db8::/32", like(address="2001:db8:1::9")),
            *((name, "4402-secret", like(**{name: sealed[name]})) for name in sealed),
        ]
        for subject, text, features in cases:
            entry = self.put("deny", subject, text)
            seen = judged(features)
            assert (seen.verdict, seen.reasons[0].code) == (judge.DENY, f"listed_{subject}"), subject
            assert "secret" not in entry.value
            entry.delete()
            assert judged(features).verdict == judge.ALLOW

    def test_an_allowed_person_passes_from_a_denied_place_and_a_denied_person_never(self):
        self.put("deny", "network", "203.0.113.0/24")
        self.put("allow", "buyer", "7")
        assert judged(PLAIN).verdict == judge.ALLOW
        assert judged(like(buyer_id=8)).verdict == judge.DENY
        self.put("deny", "buyer", "7")
        assert judged(PLAIN).verdict == judge.DENY

    def test_an_entry_ends_by_itself(self):
        entry = self.put("deny", "buyer", "7", expires_at=timezone.now() + timedelta(minutes=1))
        held = policy.read()
        assert judge.judge(PLAIN, policy=held, now=timezone.now()).verdict == judge.DENY
        assert judge.judge(PLAIN, policy=held, now=entry.expires_at).verdict == judge.ALLOW

    def test_matching_ten_thousand_entries_costs_no_query(self, django_assert_num_queries):
        ListEntry.objects.bulk_create(
            ListEntry(kind="deny", subject="network", value=f"10.{i // 256}.{i % 256}.0/24", reason="r")
            for i in range(10_000)
        )
        held = policy.read()
        with django_assert_num_queries(0):
            assert held.lists.find(like(address="10.3.4.5"), now=timezone.now()).subject == "network"
            assert held.lists.find(like(address="11.3.4.5"), now=timezone.now()) is None

    @pytest.mark.parametrize(
        ("subject", "text"), [("buyer", "x"), ("address", "1.2.3"), ("network", "a/b"), ("card", "1")]
    )
    def test_nonsense_is_refused(self, subject, text):
        with pytest.raises(lists.BadValue):
            lists.stored(subject, text)


def test_counters_count_each_window_and_who_with_whom():
    now = timezone.now()
    for buyer in (1, 2, 3, 3):
        seen = counters.count(like(buyer_id=buyer, address=f"203.0.113.{buyer}"), now=now)
    assert seen.counts["device", 10] == seen.counts["device", 60] == seen.counts["device", 600] == 4
    assert seen.counts["buyer", 10] == 2
    assert (seen.buyers_on_device, seen.buyers_on_address, seen.addresses_of_buyer) == (3, 1, 1)


def test_counters_while_the_store_is_away_are_zero(settings):
    settings.REDIS_URL = "unix:///nonexistent/kaipiao.sock"
    fast.store.cache_clear()
    try:
        assert counters.count(PLAIN, now=timezone.now()) == Rates()
    finally:
        fast.store.cache_clear()


@pytest.mark.django_db
def test_verdicts_reach_staff_once_and_losing_the_store_loses_only_them():
    switch("script_agent", mode="shadow")
    now, features = timezone.now(), like(agent="curl/8")
    verdict = judge.judge(features, policy=policy.read(), now=now)
    records.note(features, verdict, did=verdict.verdict, now=now)
    records.note(PLAIN, judge.Verdict(judge.ALLOW), did="allow", now=now)  # nothing to tell
    raw = fast.store().xrange(records.STREAM)
    assert records.drain() == 1
    fast.store().xadd(records.STREAM, raw[0][1], id=raw[0][0].split("-")[0] + "-999")  # another record
    assert records.drain() == 1
    row = Judgement.objects.order_by("pk").first()
    assert (row.verdict, row.buyer_id, row.reasons[0]["code"], row.reasons[0]["acted"]) == (
        "allow",
        7,
        "script_agent",
        False,
    )
    assert records.drain() == 0
    assert records.forget(now=now + timedelta(days=31)) == 2


@pytest.mark.django_db
def test_a_verdict_that_cannot_be_kept_holds_none_back():
    now, verdict = timezone.now(), judge.Verdict(judge.DENY)
    for at in range(3):
        records.note(like(buyer_id=at), verdict, did="deny", now=now)
    good = fast.store().xrange(records.STREAM)[1][1]["r"]
    for spoilt in (
        "rubbish",
        "{}",
        good.replace('"s"', '"a\\u0000b"'),
        good.replace('"score": 0', '"score": 99999999999'),
    ):
        fast.store().xadd(records.STREAM, {"r": spoilt})
    fast.store().xadd(records.STREAM, {"other": "1"})
    records.note(like(buyer_id=9), verdict, did="deny", now=now)
    assert records.drain() == 9
    assert records.drain() == 0
    assert set(Judgement.objects.values_list("buyer_id", flat=True)) == {0, 1, 2, 9}


def test_a_verdict_goes_to_the_log_while_the_store_is_away(settings, caplog):
    verdict = judge.Verdict(judge.DENY, (judge.Reason("often_by_buyer", "40 requests", 50, "deny", True),))
    settings.REDIS_URL = "unix:///nonexistent/kaipiao.sock"
    fast.store.cache_clear()
    try:
        records.note(PLAIN, verdict, did="deny", now=timezone.now())
    finally:
        fast.store.cache_clear()
    told = caplog.text
    assert "judgement.not_kept" in told
    assert "often_by_buyer" in told
    assert PLAIN.address not in told  # who it was is not for the log
