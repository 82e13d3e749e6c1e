"""
The buyer presses Pay. Whatever happens, a thousand presses are one payment and one answer.

1. `offer` gives the order page a payment token (risk.payment_tokens).
2. `pay` burns it and records the payment and its safety net, in one transaction; the wallet is paid right there.
3. Only then is the channel called, outside any transaction. A crash after 2 leaves a payment that the outbox chases.

Choosing another channel closes the earlier trade at its channel first; if that turns out paid, that is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from django.conf import settings
from django.db import transaction

from basis import numbers, prepared
from basis.built import Built
from payments import asking, batch, entry, money, settle, stops
from payments.channels import registry
from payments.channels.port import Declined, OpenResult, Paid, Started, Trade, Unknown
from payments.models import PAYMENT_LIFECYCLE, ChannelCode, Outcome, Payment, PaymentState
from payments.purchases import NoSuchPurchase, PurchaseHandler, Quote, handler_of
from risk import payment_tokens

PAID = "paid"
# A process that died while calling `open` leaves the payment without a cashier; after this long a press calls again.
OPENING_LEASE = timedelta(seconds=8)


class NotPayable(Exception):
    """The purchase cannot be paid (any more). `reason` is stable: `paid`, `closed`, `expired`, `not_open`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ChannelNotOffered(Exception):
    """
    The channel is not configured, switched off, or not allowed for this purchase; or, with a `reason`, just now
    `busy` or `not_answering` (payments.entry), or `stopped` by staff (payments.stops).
    """

    def __init__(self, channel: str, reason: str = "") -> None:
        super().__init__(channel, reason)
        self.reason = reason


class TokenUsedElsewhere(Exception):
    """The token was burned for a payment at another channel: reload the order page for a new one."""

    def __init__(self, payment: Payment) -> None:
        super().__init__(payment.number)
        self.payment = payment


@dataclass(frozen=True, slots=True)
class Offer:
    """What the order page needs to let the buyer pay. `token` is empty when the purchase cannot be paid."""

    quote: Quote
    token: str
    channels: list[str]
    payment: Payment | None
    # Those of the channels that take nobody new now, and why (payments.entry, payments.stops).
    greyed: dict[str, str]


PAYMENT = Built(Payment, alias="payment")
TRIES = f"""
SELECT {PAYMENT.columns} FROM payments_payment payment
 WHERE purchase_kind = %s AND purchase_number = %s ORDER BY id
"""  # noqa: S608 (names of our own model)
WANTED = f"""
SELECT {PAYMENT.columns} FROM payments_payment payment
 WHERE purchase_kind = %s AND purchase_number = %s AND state IN ('created', 'pending', 'unknown')
   AND superseded_at IS NULL
"""  # noqa: S608


def offer(*, kind: str, number: str, buyer_id: int, now: datetime) -> Offer:
    """
    The quote, a payment token, and the payment to resume if one is in flight or has won.

    :raises NoSuchPurchase: there is none, or it is another buyer's
    """
    quote = _own_quote(handler_of(kind), number, buyer_id=buyer_id, now=now)
    tries = [PAYMENT.of(row) for row in prepared.rows(TRIES, [kind, number])]
    token = ""
    if not quote.refusal:
        token = payment_tokens.issue(_claim(kind, number, quote, serial=len(tries)), now=now)
    channels = offered(kind)
    greyed = (entry.refusals(channels, now=now) | stops.refusals(kind, channels)) if token else {}
    return Offer(quote, token, channels, _to_resume(tries), greyed)


def offered(kind: str) -> list[str]:
    """The channels a buyer may choose for this kind of purchase: the wallet cannot top itself up."""
    channels = [] if kind == "topup" else [str(ChannelCode.WALLET)]
    return channels + registry.offered()


def pay(
    *, kind: str, number: str, buyer_id: int, channel: str, token: str, return_url: str, now: datetime
) -> Payment:
    """
    Pay a purchase at `channel`. Every repetition answers the same payment as it is by then.

    :raises NoSuchPurchase: there is none, or it is another buyer's
    :raises NotPayable: it cannot be paid now
    :raises ChannelNotOffered: see there
    :raises TokenUsedElsewhere: see there
    :raises risk.payment_tokens.TokenRefused: the token is not for this
    """
    if channel == ChannelCode.WALLET:
        payment = batch.pay_one(kind, batch.Press(number, buyer_id, token), now=now)
        if payment is not None:
            return payment
    return pay_by_steps(
        kind=kind,
        number=number,
        buyer_id=buyer_id,
        channel=channel,
        token=token,
        return_url=return_url,
        now=now,
    )


def pay_by_steps(
    *, kind: str, number: str, buyer_id: int, channel: str, token: str, return_url: str, now: datetime
) -> Payment:
    """The same where a channel has to be asked, or something stands in the way."""
    if channel not in offered(kind):
        raise ChannelNotOffered(channel)
    handler = handler_of(kind)
    quote = _own_quote(handler, number, buyer_id=buyer_id, now=now)
    if quote.refusal == PAID:
        return _winner(kind, number)
    nonce = payment_tokens.check(
        token, buyer_id=buyer_id, subject=f"{kind}:{number}", amount_minor=quote.amount_minor, now=now
    )
    burned_for = payment_tokens.burned_for(nonce)
    earlier = Payment.objects.filter(number=burned_for).first() if burned_for else None
    if earlier is not None:
        return _repeat(earlier, channel, return_url, now=now)
    current = _wanted(kind, number)
    if current is not None and current.channel == channel:
        return _repeat(current, channel, return_url, now=now)
    shut = stops.refusal(kind, channel) or entry.refusal(
        channel, buyer_id=buyer_id, amount_minor=quote.amount_minor, currency=quote.currency, now=now
    )
    if shut:
        raise ChannelNotOffered(channel, shut)
    if current is not None:
        paid = _leave(current, now=now)
        if paid is not None:
            return paid
    try:
        payment = _record(handler, kind, number, nonce=nonce, channel=channel, now=now)
    except payment_tokens.AlreadyBurned as burned:
        payment_tokens.remember_burned(nonce, burned.burned_for)
        return _repeat(Payment.objects.get(number=burned.burned_for), channel, return_url, now=now)
    except NotPayable as refused:
        if refused.reason != PAID:
            raise
        return _winner(kind, number)  # another tab was first, between our look and our lock
    payment_tokens.remember_burned(nonce, payment.number)
    return _call(payment, return_url, now=now) if payment.live else payment


def _winner(kind: str, number: str) -> Payment:
    return Payment.objects.get(purchase_kind=kind, purchase_number=number, outcome=Outcome.WON)


def _own_quote(handler: PurchaseHandler, number: str, *, buyer_id: int, now: datetime) -> Quote:
    quote = handler.quote(number, now=now)
    if quote.buyer_id != buyer_id:
        raise NoSuchPurchase(number)
    return quote


def _claim(kind: str, number: str, quote: Quote, *, serial: int) -> payment_tokens.Claim:
    return payment_tokens.Claim(quote.buyer_id, f"{kind}:{number}", quote.amount_minor, serial)


def _to_resume(tries: list[Payment]) -> Payment | None:
    won = [payment for payment in tries if payment.outcome == Outcome.WON]
    live = [payment for payment in tries if payment.live and payment.superseded_at is None]
    found = won or live
    return found[-1] if found else None


def _wanted(kind: str, number: str) -> Payment | None:
    """The one live payment of the purchase that is not superseded (a constraint keeps it one)."""
    row = prepared.row(WANTED, [kind, number])
    return PAYMENT.of(row) if row else None


def _repeat(payment: Payment, channel: str, return_url: str, *, now: datetime) -> Payment:
    """A further press: the same answer, and the channel is called again only if the first call was lost."""
    if payment.channel != channel and payment.live:
        raise TokenUsedElsewhere(payment)
    return _call(payment, return_url, now=now) if _call_was_lost(payment, now=now) else payment


def _leave(earlier: Payment, *, now: datetime) -> Payment | None:
    """
    The buyer chose another channel: mark the earlier payment unwanted and close its trade. The payment, if it turns out
    to be paid; None if the way is free. An answer that stays open is chased by the outbox, which closes it.
    """
    handler = handler_of(earlier.purchase_kind)
    with transaction.atomic():
        handler.lock(earlier.purchase_number)
        settle.supersede(earlier.purchase_kind, earlier.purchase_number, now=now)
    after = asking.ask(earlier.number, source="switch", now=now)
    return after if after.outcome == Outcome.WON else None


def _record(
    handler: PurchaseHandler, kind: str, number: str, *, nonce: str, channel: str, now: datetime
) -> Payment:
    """Burn the token and commit the payment with its safety net; a wallet payment is settled here and now."""
    with transaction.atomic():
        purchase = handler.lock(number)
        quote = handler.quote_locked(purchase, now=now)
        payment_number = numbers.new_number(numbers.PAYMENT, now)
        payment_tokens.burn(
            nonce=nonce,
            subject=f"{kind}:{number}",
            buyer_id=quote.buyer_id,
            payment_number=payment_number,
            now=now,
        )
        if quote.refusal:
            raise NotPayable(quote.refusal)
        # Two tabs with tokens of different tries: the later one takes the purchase over, one live try at a time.
        settle.supersede(kind, number, now=now)
        payment = Payment.objects.create(
            number=payment_number,
            purchase_kind=kind,
            purchase_number=number,
            buyer_id=quote.buyer_id,
            channel=channel,
            amount_minor=quote.amount_minor,
            currency=quote.currency,
            subject=quote.subject[:120],
            created_at=now,
            expires_at=min(max(quote.payable_until, now + settings.PAYMENT_WINDOW), quote.limit_until),
            opening_at=now,
        )
        PAYMENT_LIFECYCLE.begin(payment, at=now, reason="pressed_pay", channel=channel)
        if channel == ChannelCode.WALLET:
            _pay_from_wallet(payment, purchase, handler, now=now)
        else:
            asking.schedule(payment, now=now)
            handler.payment_started(
                purchase, payment_number=payment.number, expires_at=payment.expires_at, now=now
            )
    return payment


def _pay_from_wallet(payment: Payment, purchase: object, handler: PurchaseHandler, *, now: datetime) -> None:
    paid = Paid(payment.number, payment.amount_minor, payment.currency, now)
    try:
        with transaction.atomic():
            settle.settle_locked(
                payment, purchase=purchase, handler=handler, paid=paid, source="wallet", now=now
            )
    except money.InsufficientFunds:
        payment.refresh_from_db()  # the savepoint took the success back
        PAYMENT_LIFECYCLE.move(
            payment, to=PaymentState.FAILED, at=now, reason="wallet", refusal="insufficient_funds"
        )


def _call_was_lost(payment: Payment, *, now: datetime) -> bool:
    """Whether the call that opens the trade died with its process; at most one press takes the next call over."""
    if payment.cashier_url or payment.state not in (PaymentState.CREATED, PaymentState.UNKNOWN):
        return False
    lost = Payment.objects.filter(pk=payment.pk, opening_at__lte=now - OPENING_LEASE, superseded_at=None)
    return lost.update(opening_at=now) == 1


def _call(payment: Payment, return_url: str, *, now: datetime) -> Payment:
    """Open the trade at its channel, outside any transaction, and take the answer; or queue it, if it has to wait."""
    slot = entry.enter(payment, return_url=return_url, now=now)
    if slot is None:
        payment.refresh_from_db()
        return payment  # It waits for its turn at a bounded channel (payments.entry_calls).
    return open_trade(payment, return_url, slot, now=now)


def open_trade(payment: Payment, return_url: str, slot: entry.Slot, *, now: datetime) -> Payment:
    """Call the channel with the right to do so, and take its answer."""
    trade = Trade(
        number=payment.number,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        subject=payment.subject,
        expires_at=payment.expires_at,
        return_url=return_url,
    )
    answer: OpenResult = Unknown("crashed")
    try:
        answer = registry.channel(payment.channel).open(trade)
    finally:
        slot.end(ok=not isinstance(answer, Unknown))
    _take_answer(payment, answer, now=now)
    payment.refresh_from_db()
    return payment


def _take_answer(payment: Payment, answer: OpenResult, *, now: datetime) -> None:
    match answer:
        case Started(kind, url):
            _note_started(payment.number, kind, url, now=now)
        case Declined(code, _):
            asking.end(payment.number, to=PaymentState.FAILED, reason="channel", refusal=code, now=now)
        case Unknown(reason):
            asking.note_unknown(payment.number, reason=reason, now=now)
        case _:
            assert_never(answer)


def _note_started(number: str, kind: str, url: str, *, now: datetime) -> None:
    with transaction.atomic():
        payment = settle.lock_payment(number)
        if payment.state in (PaymentState.CREATED, PaymentState.UNKNOWN):
            PAYMENT_LIFECYCLE.move(
                payment, to=PaymentState.PENDING, at=now, reason="channel", cashier_kind=kind, cashier_url=url
            )
