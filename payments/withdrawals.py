"""
Money out of the product. Asked for, it is reserved in the ledger; approved by a second person where that is due; sent
from the outbox and asked about until the channel has spoken; then booked, or given back.

Locks: the withdrawal, then its owner's account in the ledger. Nothing is held while a channel is called.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from basis import numbers
from basis.sealed import mask_email, mask_phone
from payments import money, outbox
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
from payments.withdrawal_models import WITHDRAWAL_LIFECYCLE, Owner, PayeeKind, Withdrawal, WithdrawalState
from risk import switches
from risk.trading import marking
from wallet.money import CNY

log = logging.getLogger(__name__)

CHANNEL = "alipay"
LOOK_AGAIN = timedelta(minutes=1)
"""How soon a withdrawal that may not be sent now is looked at again."""
PHONE, MAIL, CARD = re.compile(r"1\d{10}"), re.compile(r"[^@\s]{1,64}@[^@\s]{1,60}"), re.compile(r"\d{12,19}")


class NotWithdrawable(Exception):
    """
    Nothing was changed. `reason`: `stopped`, `held`, `owing`, `amount`, `bad_account`, `over_daily_limit`,
    `insufficient`, `no_channel`.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class KeyReused(Exception):
    """The key belongs to a withdrawal of another amount or to another account."""


class NotYours(Exception):
    """Who asked for it cannot approve it; or it does not wait for anybody. Nothing was changed."""


class AmountDiffers(Exception):
    """A channel says that it paid out another amount. Staff must look; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Payee:
    """Who gets the money: an Alipay login or a bank card's number, and the name of its holder."""

    kind: str
    account: str = field(repr=False)
    name: str = field(repr=False)


# -- asking for it ------------------------------------------------------------------------------------------------


def request(
    *,
    owner_kind: str,
    owner: str,
    payee: Payee,
    amount_minor: int,
    client_key: str,
    actor: str,
    now: datetime,
    currency: str = CNY,
) -> Withdrawal:
    """
    Reserve the money and have it sent; an organiser's large one waits for a second person. The same `client_key` of the
    same owner returns the same withdrawal.

    :raises NotWithdrawable: see there
    :raises KeyReused: see there
    """
    account = account_of(owner_kind, owner, currency)
    shown = _shown(payee)
    with transaction.atomic():
        available = money.lock_account(account)
        known = Withdrawal.objects.filter(owner_kind=owner_kind, owner=owner, client_key=client_key).first()
        if known is not None:
            if (known.amount_minor, known.payee_account) != (amount_minor, payee.account):
                raise KeyReused(client_key)
            return known
        _check(owner_kind, owner, amount_minor, available, now=now)
        withdrawal = Withdrawal.objects.create(
            number=numbers.new_number(numbers.WITHDRAWAL, now),
            owner_kind=owner_kind,
            owner=owner,
            account=account,
            client_key=client_key,
            amount_minor=amount_minor,
            currency=currency,
            channel=CHANNEL,
            payee_kind=payee.kind,
            payee_account=payee.account,
            payee_name=payee.name,
            payee_shown=shown,
            needs_two=owner_kind == Owner.MERCHANT
            and amount_minor >= settings.WITHDRAWAL_TWO_PEOPLE_FROM_MINOR,
            requested_by=actor,
            created_at=now,
        )
        WITHDRAWAL_LIFECYCLE.begin(withdrawal, at=now, reason="asked_for", actor=actor)
        money.reserve_withdrawal(withdrawal, now=now)
        if not withdrawal.needs_two:
            _make_ready(withdrawal, reason="needs_one_person", actor=actor, now=now)
    return withdrawal


def account_of(owner_kind: str, owner: str, currency: str) -> str:
    """The ledger account that a withdrawal of this owner takes from: a buyer's cash, never the bonus."""
    if owner_kind == Owner.BUYER:
        return money.buyer_cash(int(owner), currency)
    return money.merchant(owner, currency)


def _check(owner_kind: str, owner: str, amount_minor: int, available_minor: int, *, now: datetime) -> None:
    if switches.stopped(switches.WITHDRAWALS):
        raise NotWithdrawable("stopped")
    if owner_kind == Owner.MERCHANT and marking.is_held(owner):
        raise NotWithdrawable("held")
    if CHANNEL not in registry.payouts():
        raise NotWithdrawable("no_channel")
    if amount_minor < settings.WITHDRAWAL_MIN_MINOR:
        raise NotWithdrawable("amount", str(settings.WITHDRAWAL_MIN_MINOR))
    if amount_minor > left_today(owner_kind, owner, now=now):
        raise NotWithdrawable("over_daily_limit", str(left_today(owner_kind, owner, now=now)))
    if amount_minor > available_minor:
        raise NotWithdrawable("insufficient", str(available_minor))


def left_today(owner_kind: str, owner: str, *, now: datetime) -> int:
    """What the owner may still withdraw today (the product's day); refused and returned ones do not count."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Withdrawal.objects.filter(owner_kind=owner_kind, owner=owner, created_at__gte=midnight)
    gone = today.exclude(state__in=(WithdrawalState.REFUSED, WithdrawalState.RETURNED))
    most = (
        settings.WITHDRAWAL_DAILY_MAX_MINOR
        if owner_kind == Owner.BUYER
        else settings.WITHDRAWAL_MERCHANT_DAILY_MAX_MINOR
    )
    return max(0, most - (gone.aggregate(total=Sum("amount_minor"))["total"] or 0))


def _shown(payee: Payee) -> str:
    """
    The account as people see it.

    :raises NotWithdrawable: it is no account of its kind, or has no name
    """
    if not payee.name.strip():
        raise NotWithdrawable("bad_account", "name")
    if payee.kind == PayeeKind.BANK and CARD.fullmatch(payee.account):
        return f"**** {payee.account[-4:]}"
    if payee.kind == PayeeKind.ALIPAY and PHONE.fullmatch(payee.account):
        return mask_phone(payee.account)
    if payee.kind == PayeeKind.ALIPAY and MAIL.fullmatch(payee.account):
        return mask_email(payee.account)[:64]
    raise NotWithdrawable("bad_account", payee.kind)


# -- two people ---------------------------------------------------------------------------------------------------


def approve(*, number: str, actor: str, now: datetime) -> Withdrawal:
    """
    The second person agrees.

    :raises NotYours: see there
    """
    with transaction.atomic():
        withdrawal = lock(number)
        if withdrawal.state != WithdrawalState.WAITING or withdrawal.requested_by == actor:
            raise NotYours(number)
        _make_ready(withdrawal, reason="approved", actor=actor, now=now, approved_by=actor)
    return withdrawal


def reject(*, number: str, actor: str, reason: str, now: datetime) -> Withdrawal:
    """
    Give it back before it is sent; who asked may take it back too.

    :raises NotYours: it does not wait for anybody any more
    """
    with transaction.atomic():
        withdrawal = lock(number)
        if withdrawal.state != WithdrawalState.WAITING:
            raise NotYours(number)
        _give_back(withdrawal, code="rejected", text=reason, actor=actor, now=now)
    return withdrawal


def lock(number: str) -> Withdrawal:
    return Withdrawal.objects.select_for_update(of=("self",), no_key=True).get(number=number)


def _make_ready(withdrawal: Withdrawal, *, reason: str, actor: str, now: datetime, **changes: Any) -> None:
    WITHDRAWAL_LIFECYCLE.move(
        withdrawal, to=WithdrawalState.READY, at=now, reason=reason, actor=actor, **changes
    )
    key, payload = withdrawal.hold, {"withdrawal": withdrawal.number}
    outbox.put("withdrawal.drive", key=key, payload=payload, due_at=now, now=now)


# -- sending it, and asking about it ------------------------------------------------------------------------------


@outbox.handles("withdrawal.drive")
def drive(payload: dict[str, str], *, attempt: int, now: datetime) -> datetime | None:
    """Send it, or ask about it, once; answer when to look again."""
    withdrawal = Withdrawal.objects.get(number=payload["withdrawal"])
    if withdrawal.state in (WithdrawalState.REFUSED, WithdrawalState.RETURNED):
        return None
    if withdrawal.state == WithdrawalState.READY:
        if not _note_sending(withdrawal.number, now=now):
            return now + LOOK_AGAIN
        answer = _send(withdrawal)
    else:
        answer = _ask_or_send(withdrawal)
    apply_answer(withdrawal.number, answer, now=now)
    withdrawal.refresh_from_db()
    steps = settings.WITHDRAWAL_SCHEDULE_S
    return now + timedelta(seconds=steps[min(attempt, len(steps) - 1)]) if withdrawal.is_open else None


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
        withdrawal = lock(number)
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


def _ask_or_send(withdrawal: Withdrawal) -> AskResult:
    answer = registry.payouts()[withdrawal.channel].ask(transfer_of(withdrawal))
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


def apply_answer(number: str, answer: AskResult, *, now: datetime) -> None:
    """
    Take a channel's word, in a transaction of its own.

    :raises AmountDiffers: see there
    """
    with transaction.atomic():
        withdrawal = lock(number)
        match answer:
            case TransferDone(reference, amount_minor, _at):
                _paid(withdrawal, reference, amount_minor, now=now)
            case TransferFailed(code, message):
                _give_back(withdrawal, code=code, text=message, now=now)
            case TransferReturned(code, message):
                _returned(withdrawal, code, message, now=now)
            case TransferWorking() | TransferAbsent() | Unknown():
                return
            case _:
                assert_never(answer)


def _paid(withdrawal: Withdrawal, reference: str, amount_minor: int, *, now: datetime) -> None:
    if withdrawal.state != WithdrawalState.SENT:
        return
    if amount_minor != withdrawal.amount_minor:
        raise AmountDiffers(f"{withdrawal.number}: {amount_minor}, not {withdrawal.amount_minor}")
    WITHDRAWAL_LIFECYCLE.move(
        withdrawal,
        to=WithdrawalState.PAID,
        at=now,
        reason="channel",
        channel_reference=reference,
        ended_at=now,
    )
    money.book_withdrawal_paid(withdrawal, now=now)


def _returned(withdrawal: Withdrawal, code: str, message: str, *, now: datetime) -> None:
    """Sent back after it was paid out; if we never learned that it was, it was simply refused."""
    if withdrawal.state == WithdrawalState.SENT:
        _give_back(withdrawal, code=code, text=message, now=now)
    elif withdrawal.state == WithdrawalState.PAID:
        refusal: dict[str, Any] = {"refusal": code[:64], "refusal_text": message[:200]}
        WITHDRAWAL_LIFECYCLE.move(
            withdrawal, to=WithdrawalState.RETURNED, at=now, reason=code[:64], ended_at=now, **refusal
        )
        money.book_withdrawal_returned(withdrawal, now=now)


def _give_back(withdrawal: Withdrawal, *, code: str, text: str, now: datetime, actor: str = "") -> None:
    if not withdrawal.is_open:
        return
    refusal: dict[str, Any] = {"refusal": code[:64], "refusal_text": text[:200]}
    WITHDRAWAL_LIFECYCLE.move(
        withdrawal, to=WithdrawalState.REFUSED, at=now, reason=code[:64], actor=actor, ended_at=now, **refusal
    )
    money.release_hold(key=withdrawal.hold, now=now)
    log.info("withdrawal.refused", extra={"withdrawal": withdrawal.number, "why": code})


def told(number: str, *, now: datetime) -> None:
    """
    A message says that the channel's transfer changed: ask now, also about one that is over.

    :raises Withdrawal.DoesNotExist: there is none of this number
    """
    withdrawal = Withdrawal.objects.get(number=number)
    outbox.hasten([withdrawal.hold], now=now)


def of_owner(owner_kind: str, owner: str) -> list[Withdrawal]:
    """Newest first, the last fifty."""
    return list(Withdrawal.objects.filter(owner_kind=owner_kind, owner=owner).order_by("-pk")[:50])
