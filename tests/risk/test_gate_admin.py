"""What staff set at the gate is checked before it is in force, signed with their name, readable with its reasons."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from payments.entry_models import ChannelSetting
from risk.load_models import ThresholdEstimate, ThresholdSetting
from risk.models import GateSetting, Judgement, LimitSetting, ListEntry, RuleSetting

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(User.objects.create_superuser("chief", "a long enough password"))
    return client


def add(desk: Client, model: str, **fields: object):
    return desk.post(f"/admin/{model}/add/", fields)


def test_a_rule_is_switched_and_tuned_within_its_bounds(desk):
    rule = {"code": "often_by_buyer", "mode": "on", "verdict": "score", "weight": 40, "if_failed": "allow"}
    bad = add(desk, "risk/rulesetting", **rule, parameters='{"most": 0}')
    assert "most: from 1" in bad.content.decode()
    assert not RuleSetting.objects.exists()
    assert add(desk, "risk/rulesetting", **rule, parameters='{"most": 5}').status_code == 302
    row = RuleSetting.objects.get()
    assert (row.parameters, row.updated_by) == ({"window_s": 60, "most": 5}, "chief")


def test_a_listed_document_is_stored_sealed_with_a_hint(desk):
    entry = {"kind": "deny", "subject": "document", "value": "110101199003071234", "reason": "resold"}
    assert add(desk, "risk/listentry", **entry).status_code == 302
    row = ListEntry.objects.get()
    assert (row.hint, row.added_by, len(row.value)) == ("…1234", "chief", 64)
    page = desk.get("/admin/risk/listentry/").content.decode()
    assert "…1234" in page
    assert "110101199003071234" not in page
    changed = {"reason": "resold twice", "expires_at_0": "", "expires_at_1": ""}
    assert desk.post(f"/admin/risk/listentry/{row.pk}/change/", changed).status_code == 302
    again = ListEntry.objects.get()
    assert (again.value, again.reason) == (row.value, "resold twice")
    assert (
        "no value of that kind"
        in add(desk, "risk/listentry", **(entry | {"subject": "network", "value": "x"})).content.decode()
    )


def test_a_threshold_stands_beside_both_estimates(desk):
    load = {"group": "orders", "is_on": "on", "source": "override", "tps": "50", "share_percent": "90"}
    assert (
        add(desk, "risk/thresholdsetting", **load, reason="").status_code == 200
    )  # an override needs a reason
    assert add(desk, "risk/thresholdsetting", **load, reason="rehearsal").status_code == 302
    assert ThresholdSetting.objects.get().updated_by == "chief"
    for source, tps in (("window", 81.5), ("access_log", 77.25)):
        ThresholdEstimate.objects.create(
            group="orders",
            source=source,
            at=timezone.now(),
            tps=tps,
            concurrency=4,
            latency_ms=50,
            measured_tps=30,
            requests=900,
        )
    page = desk.get("/admin/risk/thresholdsetting/").content.decode()
    assert all(text in page for text in ("50.0", "81.5/s", "77.2/s"))


def test_judgements_are_read_with_their_reasons_and_changed_by_nobody(desk):
    Judgement.objects.create(
        key="1-0",
        at=timezone.now(),
        purpose="order",
        verdict="deny",
        score=120,
        reasons=[
            {
                "code": "script_agent",
                "message": "the user agent names curl<b>",
                "weight": 60,
                "verdict": "score",
                "acted": False,
            }
        ],
    )
    page = desk.get("/admin/risk/judgement/").content.decode()
    assert "the user agent names curl&lt;b&gt;" in page
    assert "shadow" in page
    assert desk.get("/admin/risk/judgement/add/").status_code == 403


@pytest.mark.parametrize(
    ("model", "fields", "row"),
    [
        (
            "risk/limitsetting",
            {
                "route": "order",
                "scope": "show",
                "limit": 100,
                "window_ms": 1000,
                "if_away": "closed",
                "is_on": "on",
            },
            LimitSetting,
        ),
        (
            "risk/gatesetting",
            {"challenge_at": 50, "deny_at": 90, "difficulty": 14, "pass_minutes": 5},
            GateSetting,
        ),
        (
            "payments/channelsetting",
            {
                "channel": "alipay",
                "is_on": "on",
                "calls_per_second": 5,
                "in_flight": 2,
                "max_wait_s": 60,
                "vip_s": 8,
                "large_s": 8,
                "wallet_s": 8,
                "wallet_full_minor": 1,
                "amount_s": 1,
                "amount_full_minor": 1,
                "breaker_failures": 5,
                "breaker_open_s": 5,
            },
            ChannelSetting,
        ),
    ],
)
def test_settings_are_added_signed_and_listed(desk, model, fields, row):
    answer = add(desk, model, **fields)
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    assert row.objects.get().updated_by == "chief"
    assert desk.get(f"/admin/{model}/").status_code == 200


def test_waiting_may_not_outlast_a_payment(desk):
    page = add(
        desk, "payments/channelsetting", channel="alipay", calls_per_second=5, in_flight=2, max_wait_s=900
    )
    assert "waiting must take less" in page.content.decode()
