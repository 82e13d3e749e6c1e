"""/metrics: for who may see it, from the rows themselves, and enough for the example alerts."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import User
from operations import seeding
from operations.boards.metrics import RECENT, Figures
from payments.models import Payment
from risk import refusals
from tests.operations.scene import Scene
from ticketing.models import Order, Ticket

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
TOKEN = "a-token-of-this-test"
QUERIES_AT_MOST = 36  # the desk's sums among them, once they are stale


def asked(token: str = TOKEN) -> Any:
    return Client(headers={"Authorization": f"Bearer {token}"}).get("/metrics")


@pytest.fixture
def samples(scene: Scene, undone: None) -> dict[tuple[str, frozenset[Any]], float]:
    refusals.count(scene.show.code, {"sold_out": 3}, now=scene.now)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in Figures(scene.now).collect()
        for sample in family.samples
    }


def samples_of(text: str) -> dict[Any, float]:
    found = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        (one.name if not one.labels else (one.name, frozenset(one.labels.items()))): one.value
        for one in found
    }


def of(samples: Any, name: str, **labels: str) -> float:
    return sum(
        value
        for (found, has), value in samples.items()
        if found == f"kaipiao_{name}" and set(labels.items()) <= has
    )


def test_only_the_token_and_staff_may_look(scene: Scene, undone: None, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert asked().status_code == 200
    assert asked("another").status_code == 403
    assert Client().get("/metrics").status_code == 403
    settings.METRICS_TOKEN = ""
    assert asked("").status_code == 403
    for handle, is_staff, status in (("lin", False, 403), ("clerk", True, 403)):
        client = Client()
        client.force_login(User.objects.create_user(f"m-{handle}", is_staff=is_staff))
        assert client.get("/metrics").status_code == status
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    assert client.get("/metrics").status_code == 200


def test_what_it_says_can_be_read_by_prometheus(scene: Scene, undone: None, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    answer = asked()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.content.decode()))
    assert len(families) > 25
    assert all(family.name.startswith("kaipiao_") and family.documentation for family in families)


def test_several_scrapers_cost_one_counting_and_are_told_its_age(
    scene: Scene, undone: None, settings: Any
) -> None:
    settings.METRICS_TOKEN = TOKEN
    first = samples_of(asked().content.decode())
    assert first["kaipiao_metrics_age_seconds"] == 0
    with CaptureQueriesContext(connection) as queries:
        again = samples_of(asked().content.decode())
    assert not [query for query in queries if "payments_payment" in query["sql"]]
    assert again.pop("kaipiao_metrics_age_seconds") > 0
    assert again.items() <= first.items()


def test_the_payments_of_the_last_minutes_are_counted(scene: Scene, samples: Any) -> None:
    begun = Payment.objects.filter(created_at__gt=scene.now - RECENT, events__from_state="")
    assert of(samples, "payments_recent") == begun.count() > 0


def test_it_counts_the_rows(scene: Scene, samples: Any) -> None:
    paid = Order.objects.filter(show=scene.show, state="paid")
    assert of(samples, "orders", state="paid", show=scene.show.code) == paid.count()
    assert of(samples, "tickets", show=scene.show.code) == Ticket.objects.filter(show=scene.show).count()
    assert of(samples, "seats", show=scene.show.code) == scene.show.seats.count()
    assert of(samples, "payments_open", state="unknown") == Payment.objects.filter(state="unknown").count()
    assert of(samples, "refusals_this_hour", code="sold_out") == 3
    assert of(samples, "notifications", verdict="parked") == 1
    assert of(samples, "redis_up") == 1
    assert of(samples, "refunds_open", state="refused") == 1


def test_every_metric_of_the_example_alerts_exists(scene: Scene, undone: None) -> None:
    """Also those that have no sample just now: the families themselves are compared."""
    exported = {family.name for family in Figures(scene.now).collect()} | {"kaipiao_beat_age_seconds"}
    rules = [
        rule
        for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len(rules) > 12
    for rule in rules:
        named = set(re.findall(r"kaipiao_\w+", rule["expr"]))
        assert named <= exported, rule["alert"]
        assert {"summary", "what_to_do"} <= set(rule["annotations"])
    assert yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["rule_files"] == ["alerts.yml"]


def test_a_scrape_costs_a_bounded_number_of_queries(scene: Scene, undone: None) -> None:
    counts = []
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            list(Figures(scene.now + timedelta(seconds=1)).collect())
        counts.append(len(queries))
        seeding.seed_sold(show=scene.show, seats=50, now=scene.tick())
    assert counts[1] <= counts[0] <= QUERIES_AT_MOST, counts
