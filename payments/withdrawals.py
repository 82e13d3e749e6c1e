"""
Money out of the product is asked for: reserved in the ledger, and approved by a second person where that is due. From
then on `payments.paying_out` sends it and asks about it.

Locks: the owner's account in the ledger; for what is there already the withdrawal first.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from basis import numbers
from basis.sealed import mask_email, mask_phone
from payments import money, outbox
from payments.channels import registry
from payments.withdrawal_models import WITHDRAWAL_LIFECYCLE, Owner, PayeeKind, Withdrawal, WithdrawalState
from risk import switches
from risk.trading import marking
from wallet.money import CNY

log = logging.getLogger(__name__)

CHANNEL = "alipay"
DRIVE = "withdrawal.drive"  # payments.paying_out
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
        known = asked_before(owner_kind, owner, client_key)
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


def asked_before(owner_kind: str, owner: str, client_key: str) -> Withdrawal | None:
    """What the owner asked for with this key."""
    return Withdrawal.objects.filter(owner_kind=owner_kind, owner=owner, client_key=client_key).first()


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
        give_back(withdrawal, code="rejected", text=reason, actor=actor, now=now)
    return withdrawal


def lock(number: str) -> Withdrawal:
    return Withdrawal.objects.select_for_update(of=("self",), no_key=True).get(number=number)


def _make_ready(withdrawal: Withdrawal, *, reason: str, actor: str, now: datetime, **changes: Any) -> None:
    WITHDRAWAL_LIFECYCLE.move(
        withdrawal, to=WithdrawalState.READY, at=now, reason=reason, actor=actor, **changes
    )
    key, payload = withdrawal.hold, {"withdrawal": withdrawal.number}
    outbox.put(DRIVE, key=key, payload=payload, due_at=now, now=now)


def give_back(withdrawal: Withdrawal, *, code: str, text: str, now: datetime, actor: str = "") -> None:
    """It is not paid out: its owner has the money again. The withdrawal is locked; nothing happens if it is over."""
    if not withdrawal.is_open:
        return
    refusal: dict[str, Any] = {"refusal": code[:64], "refusal_text": text[:200]}
    WITHDRAWAL_LIFECYCLE.move(
        withdrawal, to=WithdrawalState.REFUSED, at=now, reason=code[:64], actor=actor, ended_at=now, **refusal
    )
    money.release_hold(key=withdrawal.hold, now=now)
    log.info("withdrawal.refused", extra={"withdrawal": withdrawal.number, "why": code})


def of_owner(owner_kind: str, owner: str) -> list[Withdrawal]:
    """Newest first, the last fifty."""
    return list(Withdrawal.objects.filter(owner_kind=owner_kind, owner=owner).order_by("-pk")[:50])
