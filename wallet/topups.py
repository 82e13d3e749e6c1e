"""Putting money into the wallet: a top-up is bought like a ticket, through any channel but the wallet itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from basis import numbers
from wallet.ledger import KeyReused
from wallet.models import TOPUP_LIFECYCLE, TopUp, TopUpState
from wallet.money import CNY

__all__ = [
    "AmountOutOfBounds",
    "KeyReused",
    "TopUp",
    "TopUpState",
    "close_overdue",
    "credit",
    "find",
    "lock",
    "request_topup",
]

TOPUP_WINDOW = timedelta(minutes=30)
TOPUP_MIN_MINOR, TOPUP_MAX_MINOR = 1, 5_000_000


class AmountOutOfBounds(Exception):
    """A top-up is between 0.01 and 50,000 yuan."""


def request_topup(*, buyer_id: int, client_key: str, amount_minor: int, now: datetime) -> TopUp:
    """
    Open a top-up. The same `client_key` returns the same top-up.

    :raises AmountOutOfBounds: see there
    :raises KeyReused: the key was used for another amount
    """
    if not TOPUP_MIN_MINOR <= amount_minor <= TOPUP_MAX_MINOR:
        raise AmountOutOfBounds(amount_minor)
    with transaction.atomic():
        topup, created = TopUp.objects.get_or_create(
            buyer_id=buyer_id,
            client_key=client_key,
            defaults={
                "number": numbers.new_number(numbers.TOPUP, now),
                "amount_minor": amount_minor,
                "currency": CNY,
                "created_at": now,
                "payable_until": now + TOPUP_WINDOW,
            },
        )
        if created:
            TOPUP_LIFECYCLE.begin(topup, at=now, reason="requested")
        elif topup.amount_minor != amount_minor:
            raise KeyReused(client_key)
    return topup


def close_overdue(*, now: datetime, limit: int = 500) -> int:
    """Close top-ups that nobody paid in time. Money that still arrives is credited all the same."""
    with transaction.atomic():
        overdue = list(
            TopUp.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(state=TopUpState.OPEN, payable_until__lte=now)
            .order_by("pk")[:limit]
        )
        return len(TOPUP_LIFECYCLE.move_all(overdue, to=TopUpState.CLOSED, at=now, reason="not_paid_in_time"))


def find(number: str) -> TopUp | None:
    return TopUp.objects.filter(number=number).first()


def lock(number: str) -> TopUp:
    """The top-up, with its row locked in the caller's transaction."""
    return TopUp.objects.select_for_update(of=("self",), no_key=True).get(number=number)


def credit(topup: TopUp, *, winner: str, now: datetime) -> None:
    """Record which payment paid the top-up. The caller posts the money in the same transaction."""
    TOPUP_LIFECYCLE.move(topup, to=TopUpState.CREDITED, at=now, reason="paid", winner=winner)
