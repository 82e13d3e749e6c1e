"""
Weighted entry to a channel whose capacity is bounded (M11). A channel without a `ChannelSetting` is called at once.

`enter` gives a slot if nobody waits and the channel has capacity; else the payment is queued: it stays `created`, its
`opening_at` is empty, and a `ChannelTurn` says when it is due. `payments.entry_calls` opens it when its turn comes.

The queue is in Postgres, so it survives every store and process; how fast it is worked off is the fast store's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from basis.held import Held
from payments import breaker, entry_order, entry_pace
from payments.entry_models import ChannelSetting, ChannelTurn
from payments.entry_order import Candidate
from payments.entry_pace import Slot
from payments.models import Payment, PaymentState
from wallet import statement

BROKEN, BUSY = "not_answering", "busy"


def _load() -> dict[str, ChannelSetting]:
    return {row.channel: row for row in ChannelSetting.objects.filter(is_on=True)}


settings_held: Held[Mapping[str, ChannelSetting]] = Held(_load)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a payment stands in the queue: `ahead` are served before it, which takes about `seconds`."""

    ahead: int
    seconds: int


def setting_of(channel: str) -> ChannelSetting | None:
    return settings_held.get().get(channel)


def waiting(channel: str) -> QuerySet[ChannelTurn]:
    """The turns that are still to come, the next one first."""
    return ChannelTurn.objects.filter(channel=channel, called_at=None, left_at=None).order_by("due_at", "pk")


def refusals(channels: list[str], *, now: datetime) -> dict[str, str]:
    """The channels to grey, and why: `not_answering` (its breaker is open) or `busy` (no room within the bound)."""
    return {channel: why for channel in channels if (why := _refusal_seen(channel, now=now))}


# Every page that waits asks; each process looks once a second.
LOOK_EVERY = timedelta(seconds=1)
_seen: dict[str, tuple[datetime, str]] = {}


def _refusal_seen(channel: str, *, now: datetime) -> str:
    setting = setting_of(channel)
    if setting is None:
        return ""
    at, why = _seen.get(channel, (None, ""))
    if at is None or not timedelta(0) <= now - at < LOOK_EVERY:
        why = _broken(setting) or ("" if _room(setting, Candidate(), now=now) else BUSY)
        _seen[channel] = (now, why)
    return why


def _broken(setting: ChannelSetting) -> str:
    is_open = setting.breaker_failures and breaker.state(setting.channel) == breaker.OPEN
    return BROKEN if is_open else ""


def refusal(channel: str, *, buyer_id: int, amount_minor: int, currency: str, now: datetime) -> str:
    """Why this buyer cannot start a payment at the channel now; empty if he can. The heavy find room longer."""
    setting = setting_of(channel)
    if setting is None:
        return ""
    broken = _broken(setting)
    if broken or _room(setting, Candidate(), now=now):  # the common case, without looking the buyer up
        return broken
    who = candidate(buyer_id=buyer_id, amount_minor=amount_minor, currency=currency)
    return "" if _room(setting, who, now=now) else BUSY


def _room(setting: ChannelSetting, who: Candidate, *, now: datetime) -> bool:
    dues = waiting(setting.channel).values_list("due_at", flat=True)
    start = entry_order.head_start_s(who, setting)
    due = entry_order.due_at(who, setting, now=now)
    return entry_order.has_room(dues, due, setting, head_start=start, now=now)


def candidate(*, buyer_id: int, amount_minor: int, currency: str) -> Candidate:
    """What is known of the buyer that counts."""
    found = User.objects.filter(pk=buyer_id).values_list("vip_level", "is_large_customer").first()
    vip_level, is_large = found or (0, False)
    has = statement.balances(buyer_id, currency=currency).available_minor
    return Candidate(vip_level, is_large, has, amount_minor)


def enter(payment: Payment, *, return_url: str, now: datetime) -> Slot | None:
    """The right to call the channel now; None: the payment is queued and is opened when its turn comes."""
    setting = setting_of(payment.channel)
    if setting is None:
        return entry_pace.FREE
    if not waiting(payment.channel).exists():
        slot = entry_pace.take(setting)
        if isinstance(slot, Slot):
            return slot
    queue(payment, setting, return_url=return_url, now=now)
    return None


def queue(payment: Payment, setting: ChannelSetting, *, return_url: str, now: datetime) -> None:
    """Let the payment wait for its turn."""
    who = candidate(buyer_id=payment.buyer_id, amount_minor=payment.amount_minor, currency=payment.currency)
    with transaction.atomic():
        still = Payment.objects.filter(pk=payment.pk, state=PaymentState.CREATED, superseded_at=None)
        if still.update(opening_at=None) != 1:
            return
        ChannelTurn.objects.update_or_create(
            payment=payment,
            defaults={
                "channel": payment.channel,
                "weight": who.weight,
                "head_start_s": entry_order.head_start_s(who, setting),
                "return_url": return_url,
                "queued_at": now,
                "due_at": entry_order.due_at(who, setting, now=now),
                "called_at": None,
                "left_at": None,
            },
        )


def next_turn(channel: str, *, now: datetime) -> ChannelTurn | None:
    """Take the turn that is next; its payment is the caller's to open. Nobody else gets it."""
    while True:
        with transaction.atomic():
            turn = waiting(channel).select_for_update(skip_locked=True, of=("self",), no_key=True).first()
            if turn is None:
                return None
            wanted = Payment.objects.filter(
                pk=turn.payment_id, state=PaymentState.CREATED, superseded_at=None, opening_at=None
            )
            if wanted.update(opening_at=now) == 1:
                turn.called_at = now
                turn.save(update_fields=["called_at"])
                return turn
            turn.left_at = now
            turn.save(update_fields=["left_at"])


# Longer than a call may take; calling twice with one number opens one trade.
LOST_AFTER = timedelta(seconds=30)


def take_back_lost(*, now: datetime) -> int:
    """Queue again whose call died with its worker; how many."""
    lost = ChannelTurn.objects.filter(
        called_at__lte=now - LOST_AFTER, payment__state=PaymentState.CREATED, payment__superseded_at=None
    )
    back = 0
    for turn in lost.order_by("pk"):
        with transaction.atomic():
            mine = Payment.objects.filter(
                pk=turn.payment_id,
                state=PaymentState.CREATED,
                superseded_at=None,
                opening_at__lte=now - LOST_AFTER,
            )
            if mine.update(opening_at=None) == 1:
                back += ChannelTurn.objects.filter(pk=turn.pk).update(called_at=None)
    return back


def is_waiting(payment: Payment) -> bool:
    """Whether the payment was never sent to its channel and waits for its turn."""
    if payment.state != PaymentState.CREATED or payment.opening_at is not None:
        return False
    return ChannelTurn.objects.filter(payment=payment, called_at=None, left_at=None).exists()


def place_of(payment: Payment) -> Place | None:
    """Where it stands; None if it does not wait."""
    if payment.state != PaymentState.CREATED or payment.opening_at is not None:
        return None
    turn = waiting(payment.channel).filter(payment=payment).first()
    if turn is None:
        return None
    ahead = waiting(payment.channel).filter(due_at__lt=turn.due_at).count()
    setting = setting_of(payment.channel)
    rate = setting.calls_per_second * entry_order.SURE if setting else 0
    return Place(ahead, max(1, round((ahead + 1) / rate)) if rate else 0)


def left(payment_number: str, *, now: datetime) -> None:
    """The payment ended while it waited."""
    ChannelTurn.objects.filter(payment__number=payment_number, called_at=None, left_at=None).update(
        left_at=now
    )
