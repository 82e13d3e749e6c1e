"""What the test itself does to the database: set the stage, let time pass, look whether all is well."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import Any

import django
from django.apps import apps
from django.utils import timezone

if not apps.ready:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.crash.settings"
    django.setup()

from accounts import tokens
from accounts.models import User
from operations.audit import audit
from payments import money
from tests.conftest import Clock
from tests.races import invariants
from tests.races.rest import pass_time
from ticketing import orders, sample
from ticketing.models import Order, OrderSeat, PriceTier
from wallet import ledger
from wallet.ledger import Entry, Line, account_code, post_all
from wallet.models import AccountKind

CASH = 1_000_000
SCOPES = ("orders:read", "orders:write", "payments:read", "payments:write", "wallet:read", "wallet:write")


def set_the_stage(*, buyers: int) -> list[str]:
    """A hall and that many buyers with money; the secrets of their tokens."""
    now = timezone.now()
    sample.make_show(code="crash", now=now, rows_per_section=4)
    people = User.objects.bulk_create(User.objects.build(handle=f"crash{place}") for place in range(buyers))
    money.open_buyer_accounts([person.pk for person in people], currency="CNY", now=now)
    post_all([_opening(person.pk) for person in people], at=now)
    return tokens.issue_tokens_in_bulk(people, SCOPES, now)


def _opening(buyer_id: int) -> Entry:
    lines = (Line(account_code(AccountKind.OPENING), -CASH), Line(money.buyer_cash(buyer_id, "CNY"), CASH))
    return Entry(f"open:{buyer_id}", "opening", "", lines)


def take_the_seats_of(*, number: str) -> str:
    """Somebody else orders the seats that a closed order had."""
    order = Order.objects.get(number=number)
    seats = list(OrderSeat.objects.filter(order=order).values_list("seat_id", flat=True))
    rival = User.objects.create_user()
    rivals = orders.place_order(
        buyer=rival, client_key="rival", tier_id=order.tier_id, quantity=0, seat_ids=seats, now=timezone.now()
    )
    return rivals.number


def free_seats(*, tier: str) -> int:
    return PriceTier.objects.get(show__code="crash", code=tier).seats.filter(state="F").count()


def let_time_pass(*, channels: dict[str, int]) -> dict[str, Any]:
    """Let the jobs run until nothing is due any more, and say what is wrong then; `channels`: their own books."""
    clock = Clock(now=timezone.now())
    pass_time(clock)
    return {"wrong": invariants.broken() + invariants.unfinished(channels), "seconds": _since(clock)}


def _since(clock: Clock) -> float:
    return (clock.now - timezone.now()).total_seconds()


def audited() -> list[str]:
    """The violations that the product's own audit finds."""
    now: datetime = timezone.now()
    return [
        f"{result.check.name}: {violation}" for result in audit(now=now) for violation in result.violations
    ]


def at_rest() -> list[str]:
    """What is not final yet, by the plain clock."""
    return invariants.unfinished({})


def standing(*, numbers: list[str]) -> dict[str, str]:
    """The states of these orders; one that does not exist is missing."""
    return dict(Order.objects.filter(number__in=numbers).values_list("number", "state"))


def owed_by_channels() -> dict[str, int]:
    """What our ledger says that each channel owes us."""
    return {code: -ledger.balance(money.clearing(code, "CNY")) for code in ("alipay", "wechat")}


if __name__ == "__main__":
    # `python -m tests.crash.staff at_rest '{}'`: the same in a process of its own.
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
