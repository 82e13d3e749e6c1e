"""Thresholds at the application: measured, estimated twice, shed above what is in force, off when not configured."""

from __future__ import annotations

import json
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from risk import access_log, estimating, load, middleware, policy, thresholds
from risk.load_models import ThresholdEstimate, ThresholdSetting
from risk.policy import Threshold
from risk.thresholds import Second


def test_concurrency_over_latency():
    """100 in flight at 10 ms are 10,000 a second."""
    seen = thresholds.estimate([Second(at, 10_000, 100.0) for at in range(10)])
    assert round(seen.tps) == 10_000
    assert (round(seen.concurrency), round(seen.latency_ms)) == (100, 10)


def test_overload_beyond_the_knee_says_nothing_about_what_is_sustainable():
    quiet = [Second(at, 100, 1.0) for at in range(20)]  # 10 ms
    busy = [Second(at, 900, 10.8) for at in range(20, 40)]  # 12 ms: still good
    flooded = [Second(at, 950, 190.0) for at in range(40, 60)]  # 200 ms
    seen = thresholds.estimate(quiet + busy + flooded)
    assert round(seen.tps) == 900
    assert round(seen.measured_tps) == 950


def test_too_little_says_nothing():
    assert thresholds.estimate([]) is None
    assert thresholds.estimate([Second(1, 5, 0.1)]) is None


@pytest.mark.parametrize(
    ("method", "path", "group"),
    [
        ("POST", "/api/v1/orders", "orders"),
        ("POST", "/events/river/", "orders"),
        ("POST", "/api/v1/rush/orders", "orders"),
        ("POST", "/api/v1/shows/river-1/queue", "orders"),
        ("POST", "/api/v1/rush/orders/v1.1~K1234567~7.x/payment", "payments"),
        ("POST", "/api/v1/payments", "payments"),
        ("POST", "/api/v1/orders/K1/payment-token", "payments"),
        ("POST", "/orders/K1/pay/", "payments"),
        ("POST", "/sign-in/", "sign_in"),
        ("GET", "/api/v1/shows/x/availability", "reads"),
        ("HEAD", "/", "reads"),
        ("POST", "/notify/alipay/", ""),
        ("GET", "/admin/", ""),
        ("GET", "/livez", ""),
        ("GET", "/static/x.js", ""),
    ],
)
def test_what_is_never_shed_has_no_group(method, path, group):
    assert load.group_of(method, path) == group


class TestMeter:
    def test_each_process_lets_in_its_share(self):
        meter = load.Meter()
        meter.processes = 4
        bound = Threshold(tps=None, concurrency=8, source="override")
        assert [meter.enter("orders", bound, at=0.0) for _ in range(2)] == [None, None]
        assert meter.enter("orders", bound, at=0.0).by == "concurrency"
        meter.leave("orders", took_s=0.01, second=1)
        assert meter.enter("orders", bound, at=0.0) is None

    def test_no_more_a_second_than_the_threshold(self):
        meter, bound, passed = load.Meter(), Threshold(tps=10, concurrency=None, source="override"), 0
        for step in range(1000):  # ten seconds at 100 a second
            if meter.enter("orders", bound, at=1 + step / 100) is None:
                passed += 1
                meter.leave("orders", took_s=0.001, second=0)
        assert 100 <= passed <= 110  # the first second's burst

    def test_processes_tell_their_load_and_know_of_each_other(self):
        one, two = load.Meter(), load.Meter()
        two.id = "other"
        for second in range(100, 104):
            for meter in (one, two):
                meter.enter("orders", None, at=0.0)
                meter.leave("orders", took_s=0.5, second=second)
        assert [(s.second, s.requests, s.busy_s) for s in load.told("orders")] == [
            (100, 2, 1.0),
            (101, 2, 1.0),
            (102, 2, 1.0),
        ]
        assert two.processes == 2


@pytest.mark.django_db
class TestShedding:
    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch):
        monkeypatch.setattr(middleware, "meter", load.Meter())

    def put(self, **fields) -> ThresholdSetting:
        row = ThresholdSetting(**{"group": "reads", "is_on": True, "reason": "tonight"} | fields)
        row.full_clean()
        row.save()
        policy.forget()
        return row

    def test_off_when_not_configured(self):
        assert [Client().get("/api/v1/events").status_code for _ in range(5)] == [200] * 5
        assert middleware.meter.gauges["reads"].requests == 0

    def test_over_the_rate_the_answer_says_when_to_come_again(self):
        self.put(tps=2)
        answers = [Client().get("/api/v1/events") for _ in range(4)]
        shed = [answer for answer in answers if answer.status_code == 429]
        assert len(shed) >= 1
        assert shed[0]["Retry-After"] == "1"
        assert (shed[0]["RateLimit-Policy"], shed[0]["RateLimit"]) == ('"reads";q=2;w=1', '"reads";r=0;t=1')
        assert shed[0].json()["code"] == "too_many_requests"
        assert Client().get("/livez").status_code == 200

    def test_over_the_concurrency_it_is_503_and_the_page_is_whole(self):
        self.put(concurrency=1)
        middleware.meter.enter("reads", None, at=0.0)  # somebody is inside
        answer = Client().get("/")
        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert answer["RateLimit-Policy"].endswith(';qu="concurrent-requests"')
        assert b"<html" in answer.content
        middleware.meter.leave("reads", took_s=0.1, second=1)
        assert Client().get("/").status_code == 200

    def test_measured_and_never_shed_while_off(self):
        self.put(is_on=False, tps=0.1)
        assert [Client().get("/api/v1/events").status_code for _ in range(3)] == [200] * 3
        assert middleware.meter.gauges["reads"].in_flight == 0
        assert middleware.meter.gauges["reads"].requests >= 1

    def test_an_estimate_may_be_in_force_by_its_share(self):
        self.put(source="window", share_percent=50)
        assert policy.current().thresholds["reads"].tps is None
        ThresholdEstimate.objects.create(
            group="reads",
            source="window",
            at=timezone.now(),
            tps=80,
            concurrency=1,
            latency_ms=10,
            measured_tps=5,
            requests=100,
        )
        policy.forget()
        assert policy.current().thresholds["reads"].tps == 40

    def test_an_override_needs_a_reason(self):
        with pytest.raises((ValidationError, IntegrityError)), transaction.atomic():
            self.put(tps=5, reason="")

    def test_both_estimates_are_stored(self, tmp_path):
        meter = load.Meter()
        for second in range(1000, 1012):
            for _ in range(5):
                meter.enter("reads", None, at=0.0)
                meter.leave("reads", took_s=0.02, second=second)
        assert estimating.from_windows(now=timezone.now()) == 1
        log = tmp_path / "access.log"
        log.write_text("".join(line(at=1000 + n / 10) for n in range(100)))
        assert estimating.from_access_log(log, now=timezone.now()) == 1
        rows = {row.source: row for row in ThresholdEstimate.objects.all()}
        assert round(rows["window"].tps) == 5
        assert (round(rows["access_log"].tps), round(rows["access_log"].latency_ms)) == (10, 20)
        assert estimating.from_access_log(log, now=timezone.now()) == 0  # nothing new


def line(at=1.5, path="/api/v1/events", status=200, upstream="0.020", method="GET") -> str:
    return (
        json.dumps(
            {
                "at": at,
                "address": "203.0.113.7",
                "method": method,
                "path": path,
                "status": status,
                "seconds": 0.021,
                "upstream_seconds": upstream,
                "bytes": 10,
                "request_id": "r",
            }
        )
        + "\n"
    )


def test_the_log_is_read_on_and_begun_anew_after_rotation(tmp_path):
    log = tmp_path / "access.log"
    log.write_text(
        line(at=10) + line(at=10, upstream="-") + "nonsense\n" + line(at=10, status=502) + line(at=11)[:20]
    )
    found, at = access_log.read(log, access_log.Position())
    assert found == {"reads": [Second(10, 1, 0.02)]}
    with log.open("a") as file:
        file.write(line(at=11)[20:])
    found, at = access_log.read(log, at)
    assert found == {"reads": [Second(11, 1, 0.02)]}
    log.unlink()
    log.write_text(line(at=12, upstream="0.010, 0.020"))
    found, at = access_log.read(log, at)
    assert [(s.second, round(s.busy_s, 3)) for s in found["reads"]] == [(12, 0.03)]
    assert access_log.read(tmp_path / "none", at) == ({}, access_log.Position())


def test_only_the_newest_of_a_huge_log(tmp_path):
    log = tmp_path / "access.log"
    log.write_text("".join(line(at=n) for n in range(100)))
    found, _at = access_log.read(log, access_log.Position(), most=len(line(at=10)) * 5)
    assert 3 <= len(found["reads"]) <= 5
    assert found["reads"][-1].second == 99


def test_counting_is_exact_with_threads():
    meter = load.Meter()

    def work():
        for _ in range(500):
            meter.enter("orders", None, at=0.0)
            meter.leave("orders", took_s=0.001, second=7)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (meter.gauges["orders"].in_flight, meter.gauges["orders"].requests) == (0, 4000)
