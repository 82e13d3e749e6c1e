"""
A withdrawal on its way out: written down as sent, sent from the outbox, asked about until the channel has spoken; then
booked, or given back. Time never ends one.

What a bank may still send back is asked about for some days after it was paid out, in case its message is lost. What
the channel says that it paid out after we gave it back is taken from its owner after all: as soon as he has it, and
staff have a case until then.

Locks: the withdrawal, then its owner's account in the ledger. Nothing is held while a channel is called.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, assert_never

from django.conf import settings
from django.db import transaction

from payments import money, outbox, withdrawals
from payments.channels import registry
from payments.channels.payouts import (
    AskResult,
    Transfer,
    TransferAbsent,
    TransferDone,
    TransferFailed,
    TransferReturned,
    TransferWorking,
)
from payments.channels.port import Declined, Unknown
from payments.models import OutboxMessage
from payments.withdrawal_models import WITHDRAWAL_LIFECYCLE, Owner, PayeeKind, Withdrawal, WithdrawalState
from risk import switches
from risk.trading import marking

log = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(minutes=1)
"""How soon a withdrawal that may not be sent now is looked at again."""
MAY_COME_BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=3))
"""When a bank is asked, after a card was paid, whether it sent the money back."""


class AmountDiffers(Exception):
    """A channel says that it paid out another amount. Staff must look; nothing was changed."""


class NotOnItsWay(Exception):
    """It was never sent, or is over: there is nothing that a channel's papers could say about it."""


@outbox.handles(withdrawals.DRIVE)
def drive(payload: dict[str, str], *, attempt: int, now: datetime) -> datetime | None:
    """Send it, or ask about it, once; answer when to look again."""
    withdrawal = Withdrawal.objects.get(number=payload["withdrawal"])
    if withdrawal.sent_at is None and withdrawal.state != WithdrawalState.READY:
        return None  # it never left, so nobody knows of it
    if withdrawal.state == WithdrawalState.READY:
        if not _note_sending(withdrawal.number, now=now):
            return now + LOOK_AGAIN
        answer = _send(withdrawal)
    else:
        answer = _ask_or_send(withdrawal)
    apply_answer(withdrawal.number, answer, now=now)
    withdrawal.refresh_from_db()
    return _next_look(withdrawal, attempt, now=now)


def _next_look(withdrawal: Withdrawal, attempt: int, *, now: datetime) -> datetime | None:
    if withdrawal.is_open:
        steps = settings.WITHDRAWAL_SCHEDULE_S
        return now + timedelta(seconds=steps[min(attempt, len(steps) - 1)])
    if withdrawal.state == WithdrawalState.PAID and withdrawal.payee_kind == PayeeKind.BANK:
        paid_at = withdrawal.ended_at or now
        return next((paid_at + after for after in MAY_COME_BACK if paid_at + after > now), None)
    return None


def why_not_now(withdrawal: Withdrawal) -> str:
    """`stopped` or `held` if it may not be sent now; else empty."""
    if switches.stopped(switches.WITHDRAWALS):
        return "stopped"
    if withdrawal.owner_kind == Owner.MERCHANT and marking.is_held(withdrawal.owner):
        return "held"
    return ""


def _note_sending(number: str, *, now: datetime) -> bool:
    """It is written down that it goes out, before it does; False while it may not."""
    with transaction.atomic():
        withdrawal = withdrawals.lock(number)
        if withdrawal.state != WithdrawalState.READY or why_not_now(withdrawal):
            return False
        WITHDRAWAL_LIFECYCLE.move(withdrawal, to=WithdrawalState.SENT, at=now, reason="sending", sent_at=now)
        return True


def _send(withdrawal: Withdrawal) -> AskResult:
    """A refusal counts only if the channel, asked, does not have it after all: it may hide an earlier success."""
    channel, transfer = registry.payouts()[withdrawal.channel], transfer_of(withdrawal)
    answer = channel.send(transfer)
    if not isinstance(answer, Declined):
        return answer
    found = channel.ask(transfer)
    return TransferFailed(answer.code, answer.message) if isinstance(found, TransferAbsent) else found


def ask(withdrawal: Withdrawal) -> AskResult:
    """What the channel knows of it; changes nothing."""
    return registry.payouts()[withdrawal.channel].ask(transfer_of(withdrawal))


def _ask_or_send(withdrawal: Withdrawal) -> AskResult:
    answer = ask(withdrawal)
    if isinstance(answer, TransferAbsent) and withdrawal.is_open and not why_not_now(withdrawal):
        return _send(withdrawal)  # it never arrived there; the same number pays it out once
    return answer


def transfer_of(withdrawal: Withdrawal) -> Transfer:
    """The withdrawal as its channel is told of it, every time the same."""
    return Transfer(
        number=withdrawal.number,
        amount_minor=withdrawal.amount_minor,
        currency=withdrawal.currency,
        kind=withdrawal.payee_kind,
        account=withdrawal.payee_account,
        name=withdrawal.payee_name,
        title=f"Kaipiao {withdrawal.number}",
        is_company=withdrawal.owner_kind == Owner.MERCHANT,
    )


# -- what the channel says ----------------------------------------------------------------------------------------


def apply_answer(number: str, answer: AskResult, *, now: datetime, actor: str = "") -> None:
    """
    Take a channel's word, in a transaction of its own.

    :raises AmountDiffers: see there
    :raises payments.money.InsufficientFunds: it was given back, the channel paid it out all the same, and its owner has
        less by now; it is tried again
    """
    if isinstance(answer, TransferDone):
        _keep_driving_what_was_given_back(number, now=now)
    with transaction.atomic():
        withdrawal = withdrawals.lock(number)
        match answer:
            case TransferDone(reference, amount_minor, _at):
                _paid(withdrawal, reference, amount_minor, actor=actor, now=now)
            case TransferFailed(code, message):
                _failed(withdrawal, code, message, actor=actor, now=now)
            case TransferReturned(code, message):
                _returned(withdrawal, code, message, now=now)
            case TransferWorking() | TransferAbsent() | Unknown():
                return
            case _:
                assert_never(answer)


def _keep_driving_what_was_given_back(number: str, *, now: datetime) -> None:
    """Committed first: whoever drives it now may have lost its message to another one, who found it over."""
    refused = Withdrawal.objects.filter(number=number, state=WithdrawalState.REFUSED).first()
    if refused and not OutboxMessage.objects.filter(key=refused.hold, done_at=None).exists():
        told(number, now=now)


def _paid(withdrawal: Withdrawal, reference: str, amount_minor: int, *, actor: str, now: datetime) -> None:
    was = withdrawal.state
    if was not in (WithdrawalState.SENT, WithdrawalState.REFUSED):
        return
    if amount_minor != withdrawal.amount_minor:
        raise AmountDiffers(f"{withdrawal.number}: {amount_minor}, not {withdrawal.amount_minor}")
    WITHDRAWAL_LIFECYCLE.move(
        withdrawal,
        to=WithdrawalState.PAID,
        at=now,
        reason="by_hand" if actor else "channel" if was == WithdrawalState.SENT else "paid_after_all",
        actor=actor,
        channel_reference=reference[:64],
        refusal="",
        refusal_text="",
        ended_at=now,
    )
    if was == WithdrawalState.SENT:
        money.book_withdrawal_paid(withdrawal, now=now)
    else:
        log.warning("withdrawal.paid_after_all", extra={"withdrawal": withdrawal.number})
        money.book_withdrawal_after_all(withdrawal, now=now)


def _failed(withdrawal: Withdrawal, code: str, message: str, *, actor: str, now: datetime) -> None:
    withdrawals.give_back(withdrawal, code=code, text=message, actor=actor, now=now)


def _returned(withdrawal: Withdrawal, code: str, message: str, *, now: datetime) -> None:
    """Sent back after it was paid out; if we never learned that it was, it was simply refused."""
    if withdrawal.state == WithdrawalState.SENT:
        withdrawals.give_back(withdrawal, code=code, text=message, now=now)
    elif withdrawal.state == WithdrawalState.PAID:
        refusal: dict[str, Any] = {"refusal": code[:64], "refusal_text": message[:200]}
        WITHDRAWAL_LIFECYCLE.move(
            withdrawal, to=WithdrawalState.RETURNED, at=now, reason=code[:64], ended_at=now, **refusal
        )
        money.book_withdrawal_returned(withdrawal, now=now)


def told(number: str, *, now: datetime) -> None:
    """
    A message says that the channel's transfer changed: ask now, also about one that is over.

    :raises Withdrawal.DoesNotExist: there is none of this number
    """
    withdrawal = Withdrawal.objects.get(number=number)
    if withdrawal.sent_at is None:
        return
    payload = {"withdrawal": number}  # its message may have been forgotten since it was done
    outbox.put(withdrawals.DRIVE, key=withdrawal.hold, payload=payload, due_at=now, now=now)
    outbox.hasten([withdrawal.hold], now=now)


# -- what people read in the channel's papers ---------------------------------------------------------------------


def mark_paid(number: str, *, reference: str, actor: str, now: datetime) -> None:
    """
    The channel's papers list it as paid out, under their number `reference`; the caller has the second person's word.

    :raises NotOnItsWay: see there
    """
    withdrawal = _on_its_way(number)
    done = TransferDone(reference, withdrawal.amount_minor, now)
    apply_answer(number, done, actor=actor, now=now)


def mark_returned(number: str, *, why: str, actor: str, now: datetime) -> None:
    """
    The channel's papers show that it was not paid out, or came back: its owner has the money again. The caller has the
    second person's word.

    :raises NotOnItsWay: see there
    """
    _on_its_way(number)
    apply_answer(number, TransferFailed("by_hand", why), actor=actor, now=now)


def _on_its_way(number: str) -> Withdrawal:
    withdrawal = withdrawals.lock(number)
    if withdrawal.state != WithdrawalState.SENT:
        raise NotOnItsWay(f"{number}: {withdrawal.state}")
    return withdrawal
