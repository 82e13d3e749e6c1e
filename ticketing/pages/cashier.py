"""
The cashier, shared by orders and top-ups: what stage paying is in, and what the buyer's presses do.

| stage      | what it means                                            | what the page offers                        |
|------------|----------------------------------------------------------|---------------------------------------------|
| payable    | no payment is under way                                  | the channels and Pay                        |
| opening    | Pay was pressed, the channel has not answered yet        | nothing to press; it refreshes itself       |
| queued     | it waits for its turn at a busy channel                  | its place; another channel                  |
| waiting    | the trade is open at the channel                         | its cashier, "I have paid", another channel |
| confirming | the buyer came back from the channel                     | the same, the cashier in second place       |
| checking   | the channel has not answered clearly                     | no second Pay; "check now", another channel |
| closing    | the time is over while a payment is still being closed   | nothing to press; it refreshes itself       |
| paid, expired, cancelled, refunded, credited                          | final; refunds of late or double money show |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import segno
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from payments import asking, checkout, entry
from payments.models import ChannelCode, Payment, PaymentState, Refund, RefundState
from payments.purchases import NoSuchPurchase, Quote
from risk import gate_web
from risk.pages import wait_page
from ticketing.pages import refusals
from ticketing.pages.answers import SeeOther, buyer_of, wants_json
from ticketing.wording import amount, channel_name
from wallet import statement

PAYABLE, OPENING, WAITING, CONFIRMING, CHECKING = "payable", "opening", "waiting", "confirming", "checking"
QUEUED = "queued"
CLOSING, PAID, EXPIRED, CANCELLED, REFUNDED = "closing", "paid", "expired", "cancelled", "refunded"
IN_FLIGHT = frozenset({OPENING, QUEUED, WAITING, CONFIRMING, CHECKING, CLOSING})
ENDS = frozenset({PAID, EXPIRED, CANCELLED, REFUNDED})

CHECK_EVERY_S = 2
SLOW_AFTER = timedelta(seconds=8)
LINK_SCHEMES = frozenset({"http", "https", "alipays", "weixin"})
REFRESH_S = 5


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is being paid, and where its pages are."""

    kind: str
    number: str
    page: str
    pay: str
    check: str
    status: str


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """One way to pay. `short_minor` above zero: the wallet holds that much too little."""

    code: str
    name: str
    balance: str = ""
    short_minor: int = 0
    shut: str = ""  # why it takes nobody new just now, for the buyer to read

    @property
    def usable(self) -> bool:
        return self.short_minor == 0 and not self.shut


@dataclass(frozen=True, slots=True)
class Cashier:
    """Everything the pay component shows."""

    purchase: Purchase
    quote: Quote
    stage: str
    version: str
    token: str = ""
    channels: list[ChannelChoice] = field(default_factory=list)
    current: Payment | None = None
    failed: Payment | None = None
    refunds: list[Refund] = field(default_factory=list)
    unwanted: list[Payment] = field(default_factory=list)
    place: entry.Place | None = None  # in the queue of a busy channel
    is_slow: bool = False
    now: datetime | None = None

    @property
    def in_flight(self) -> bool:
        return self.stage in IN_FLIGHT

    @property
    def is_final(self) -> bool:
        return self.stage in ENDS and not self.unwanted and not self.refunds_on_their_way

    @property
    def refunds_on_their_way(self) -> bool:
        return any(refund.state != RefundState.SUCCEEDED for refund in self.refunds)

    @property
    def pace(self) -> str:
        """How eagerly the page asks for news."""
        if self.in_flight:
            return "fast"
        return "never" if self.is_final else "slow"

    @property
    def refresh_s(self) -> int:
        """When the page reloads itself where JavaScript does not: 0 for never."""
        if self.in_flight:
            return REFRESH_S
        if self.stage == PAYABLE and self.now is not None:
            return max(1, int((self.quote.payable_until - self.now).total_seconds()) + 1)
        return 0 if self.is_final else 3 * REFRESH_S

    @property
    def chosen(self) -> str:
        """The channel that is marked when the page opens."""
        return next((choice.code for choice in self.channels if choice.usable), "")

    @property
    def others(self) -> list[ChannelChoice]:
        """The ways to pay besides the one under way."""
        return [
            choice for choice in self.channels if self.current is None or choice.code != self.current.channel
        ]

    @property
    def link(self) -> str:
        """Where the buyer pays at the channel; empty if the address is of a kind that no channel of ours uses."""
        url = self.current.cashier_url if self.current else ""
        return url if urlsplit(url).scheme in LINK_SCHEMES else ""

    @property
    def code(self) -> SafeString | None:
        """The code to scan, for a channel that wants one."""
        scanned = self.current is not None and self.current.cashier_kind == "qr" and self.current.cashier_url
        return qr(self.current.cashier_url) if scanned and self.current else None

    @property
    def short(self) -> ChannelChoice | None:
        """The wallet, if it holds too little."""
        return next((choice for choice in self.channels if choice.short_minor), None)


def look(
    purchase: Purchase, *, buyer_id: int, came_back: bool, now: datetime, is_shown: bool = True
) -> Cashier:
    """
    Where paying stands; `is_shown` is false for whoever only asks, and needs no channels to choose from.

    :raises Http404: there is no such purchase, or it is another buyer's
    """
    try:
        offer = checkout.offer(kind=purchase.kind, number=purchase.number, buyer_id=buyer_id, now=now)
    except NoSuchPurchase:
        raise Http404 from None
    tries = _tries(purchase)
    live = [payment for payment in tries if payment.live]
    current = next((payment for payment in reversed(live) if payment.superseded_at is None), None)
    stage = _stage(offer.quote, current, live, came_back=came_back)
    place = entry.place_of(current) if current is not None and stage == OPENING else None
    stage = stage if place is None else QUEUED
    return Cashier(
        purchase=purchase,
        quote=offer.quote,
        stage=stage,
        version=_version(stage, offer.quote, tries, place),
        token=offer.token,
        channels=_channels(offer, buyer_id) if offer.token and is_shown else [],
        current=current,
        failed=_failed(tries) if stage == PAYABLE else None,
        refunds=[refund for payment in tries for refund in payment.refunds.all()],
        unwanted=[payment for payment in live if payment is not current],
        place=place,
        is_slow=current is not None and current.created_at <= now - SLOW_AFTER,
        now=now,
    )


def held_back(request: HttpRequest, cashier: Cashier) -> HttpResponse | None:
    """The page to wait on while more buyers want to pay than tokens are handed out (M10); usually None."""
    if not cashier.token or cashier.stage != PAYABLE:
        return None
    purchase = f"{cashier.purchase.kind}:{cashier.purchase.number}"
    try:
        gate_web.admit_token(request, purchase=purchase, now=timezone.now())
    except gate_web.GateRefusal as refusal:
        return wait_page(request, refusal)
    return None


def _tries(purchase: Purchase) -> list[Payment]:
    found = Payment.objects.filter(purchase_kind=purchase.kind, purchase_number=purchase.number)
    return list(found.order_by("pk").prefetch_related("refunds"))


def _stage(quote: Quote, current: Payment | None, live: list[Payment], *, came_back: bool) -> str:
    if quote.refusal == EXPIRED:
        return CLOSING if live else EXPIRED
    if quote.refusal:
        return quote.refusal
    match current.state if current else "":
        case PaymentState.CREATED:
            return OPENING
        case PaymentState.UNKNOWN:
            return CHECKING
        case PaymentState.PENDING:
            return CONFIRMING if came_back else WAITING
    return PAYABLE


def _version(stage: str, quote: Quote, tries: list[Payment], place: entry.Place | None) -> str:
    """Changes when what the page says has changed. Coming back is the page's own affair, not news."""
    facts = [WAITING if stage == CONFIRMING else stage, quote.payable_until.isoformat(), str(place)]
    for payment in tries:
        facts += [payment.number, payment.state, payment.cashier_url, str(payment.superseded_at)]
        facts += [f"{refund.number}:{refund.state}:{refund.offered_at}" for refund in payment.refunds.all()]
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:16]


def _failed(tries: list[Payment]) -> Payment | None:
    """The last try, if it was refused: the buyer has to know why Pay is there again."""
    last = tries[-1] if tries else None
    return last if last is not None and last.state == PaymentState.FAILED else None


def _channels(offer: checkout.Offer, buyer_id: int) -> list[ChannelChoice]:
    return [_choice(code, offer, buyer_id) for code in offer.channels]


def _choice(code: str, offer: checkout.Offer, buyer_id: int) -> ChannelChoice:
    if code != ChannelCode.WALLET:
        return ChannelChoice(code, channel_name(code), shut=_shut(offer.greyed.get(code, "")))
    quote = offer.quote
    has = statement.balances(buyer_id, currency=quote.currency).available_minor
    short = max(0, quote.amount_minor - has)
    return ChannelChoice(code, channel_name(code), amount(has, quote.currency), short)


def _shut(reason: str) -> str:
    match reason:
        case "busy":
            return _("too many are waiting")
        case "not_answering":
            return _("does not answer just now")
        case "stopped":
            return _("stopped for now")
    return ""


# -- what a press does ------------------------------------------------------------------------------------------------


def press_pay(request: HttpRequest, purchase: Purchase) -> HttpResponse:
    """Pay pressed, once or a thousand times: one payment, and the page that shows it."""
    try:
        payment = checkout.pay(
            kind=purchase.kind,
            number=purchase.number,
            buyer_id=buyer_of(request).pk,
            channel=request.POST.get("channel", ""),
            token=request.POST.get("token", ""),
            return_url=f"{settings.PUBLIC_URL}{purchase.page}?back=1",
            now=timezone.now(),
        )
    except NoSuchPurchase:
        raise Http404 from None
    except refusals.PAY_REFUSALS as error:
        refusal = refusals.of_payment(error)
        if refusal.code != "paid":
            messages.warning(request, refusal.text)
        return _answer(request, purchase)
    return _answer(request, purchase, payment)


def _answer(request: HttpRequest, purchase: Purchase, payment: Payment | None = None) -> HttpResponse:
    if not wants_json(request):
        return SeeOther(purchase.page)
    to_cashier = (
        payment is not None and payment.state == PaymentState.PENDING and payment.cashier_kind == "redirect"
    )
    url = payment.cashier_url if payment is not None and to_cashier else purchase.page
    return JsonResponse({"page": purchase.page, "go": url if _may_follow(url) else purchase.page})


def _may_follow(url: str) -> bool:
    return url.startswith("/") or urlsplit(url).scheme in LINK_SCHEMES


def press_check(request: HttpRequest, purchase: Purchase) -> HttpResponse:
    """ "I have paid" pressed: ask the channel now, at most once every two seconds for each payment."""
    cashier = look(
        purchase, buyer_id=buyer_of(request).pk, came_back=True, now=timezone.now(), is_shown=False
    )
    payments = [*cashier.unwanted, *([cashier.current] if cashier.current else [])]
    for payment in payments:
        if cache.add(f"checked:{payment.number}", 1, CHECK_EVERY_S):
            asking.ask(payment.number, source="check", now=timezone.now())
    if wants_json(request):
        return JsonResponse({"page": purchase.page})
    return SeeOther(f"{purchase.page}?back=1" if cashier.in_flight else purchase.page)


def status(request: HttpRequest, purchase: Purchase) -> HttpResponse:
    """What a waiting page polls: tiny, and 304 while there is no news."""
    cashier = look(
        purchase, buyer_id=buyer_of(request).pk, came_back=False, now=timezone.now(), is_shown=False
    )
    etag = f'"{cashier.version}"'
    response: HttpResponse
    if request.headers.get("If-None-Match") == etag:
        response = HttpResponseNotModified()
    else:
        response = JsonResponse({"version": cashier.version, "stage": cashier.stage, "pace": cashier.pace})
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def qr(text: str) -> SafeString:
    """A QR code as inline SVG, dark on white also at night, with the quiet zone that scanners need."""
    code = segno.make(text, error="m", micro=False)
    return mark_safe(code.svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True))  # noqa: S308


def words(stage: str) -> str:
    """The stage in a few words, as the page's heading and for those who hear it."""
    return WORDS[stage]()


WORDS: dict[str, Callable[[], str]] = {
    PAYABLE: lambda: _("Waiting for your payment"),
    OPENING: lambda: _("Opening the payment…"),
    QUEUED: lambda: _("Waiting for the bank"),
    WAITING: lambda: _("Waiting for you to pay"),
    CONFIRMING: lambda: _("Confirming with the channel"),
    CHECKING: lambda: _("Confirming with the channel"),
    CLOSING: lambda: _("Closing the payment"),
    PAID: lambda: _("Paid"),
    EXPIRED: lambda: _("Not paid in time"),
    CANCELLED: lambda: _("Cancelled"),
    REFUNDED: lambda: _("Refunded"),
}
