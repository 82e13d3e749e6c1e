"""What the domain's refusals say to a buyer, and the HTTP status they carry."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from payments import checkout
from risk import refusals
from risk.payment_tokens import TokenRefused
from ticketing import admission, orders, phases, seats
from ticketing.models import SalePhase
from ticketing.pages import turns
from ticketing.wording import channel_name
from wallet import topups

# What `place_order` raises for what a buyer can do.
ORDER_REFUSALS = (
    admission.PassUsed,
    turns.Lost,
    orders.BadQuantity,
    orders.KeyReused,
    *orders.REFUSED,
)
PAY_REFUSALS = (checkout.NotPayable, checkout.ChannelNotOffered, checkout.TokenUsedElsewhere, TokenRefused)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`code` is stable and names the case in the page's markup; `text` is for the buyer."""

    code: str
    text: str
    status: int = 409


def counted(error: Exception, show: str, *, tier: str = "") -> Refusal:
    """The same, told to those who watch the sale."""
    refusal = of_order(error)
    refusals.count(show, {refusal.code: 1}, tier=tier, now=timezone.now())
    return refusal


def of_order(error: Exception) -> Refusal:
    """Why an order was not placed."""
    match error:
        case orders.NoSuchTier():
            return Refusal("no_such_tier", _("Choose a price tier."), 400)
        case orders.BadQuantity():
            most = settings.ORDER_QUANTITY_MAX
            text = ngettext("Choose 1 seat.", "Choose 1 to %(most)d seats.", most) % {"most": most}
            return Refusal("bad_quantity", text, 400)
        case orders.KeyReused():
            return Refusal(
                "key_reused", _("You have placed an order from this page already. Look at your orders.")
            )
        case phases.NotOnSale():
            return Refusal("not_on_sale", _not_on_sale(error))
        case phases.SaleStopped():
            return Refusal("sale_stopped", _("The sale is stopped for now. Nothing was taken."), 503)
        case phases.NotEligible():
            return Refusal("not_eligible", _not_eligible(error), 403)
        case phases.LimitReached():
            return Refusal("limit_reached", _limit_reached(error))
        case admission.PassUsed():
            text = _("You have used your turn for this price, or it is over. You may queue again.")
            return Refusal("pass_used", text)
        case turns.Lost():
            return Refusal("lost", _("This did not work, and nothing was taken. Please try again."), 503)
        case seats.SeatsTaken():
            return Refusal(
                "seats_taken", _("Some of these seats have just been taken. Your other choices are kept.")
            )
        case _:
            return Refusal("sold_out", _("There are not that many seats left at this price."))


def _not_on_sale(error: phases.NotOnSale) -> str:
    if error.opens_at is None:
        return _("The sale is over.")
    return _("The sale opens on %(when)s.") % {"when": moment(error.opens_at)}


def _not_eligible(error: phases.NotEligible) -> str:
    if error.rule == SalePhase.Eligibility.INVITED:
        return _("This sale is for invited buyers. The general sale is open to everyone.")
    return _("This sale is for accounts that have existed for longer. The general sale is open to everyone.")


def _limit_reached(error: phases.LimitReached) -> str:
    if error.left > 0:
        return ngettext(
            "You may take %(left)d more seat in this sale (at most %(limit)d a buyer).",
            "You may take %(left)d more seats in this sale (at most %(limit)d a buyer).",
            error.left,
        ) % {"left": error.left, "limit": error.limit}
    return _("You have as many seats as a buyer may have in this sale (%(limit)d).") % {"limit": error.limit}


def of_payment(error: Exception) -> Refusal:
    """Why a press on Pay started no payment."""
    match error:
        case checkout.NotPayable(reason="paid"):
            return Refusal("paid", _("This is paid already."))
        case checkout.NotPayable(reason="expired"):
            return Refusal("expired", _("The time to pay is over. No money was taken."))
        case checkout.NotPayable():
            return Refusal("not_payable", _("This cannot be paid any more. No money was taken."))
        case checkout.ChannelNotOffered(reason="busy"):
            return Refusal("channel_busy", _("Too many are waiting for this channel. Choose another one."))
        case checkout.ChannelNotOffered(reason="not_answering"):
            return Refusal(
                "channel_not_answering", _("This channel does not answer just now. Choose another one.")
            )
        case checkout.ChannelNotOffered(reason="stopped"):
            return Refusal("channel_stopped", _("This is stopped for now. Nothing was taken."))
        case checkout.ChannelNotOffered():
            return Refusal("channel_not_offered", _("Choose how you want to pay."), 400)
        case checkout.TokenUsedElsewhere():
            name = channel_name(error.payment.channel)
            text = _("A payment with %(channel)s is under way. Finish it, or choose another way below.")
            return Refusal("token_used_elsewhere", text % {"channel": name})
        case _:
            return Refusal(
                "token_refused", _("The page was out of date. Nothing was paid; please press Pay again."), 400
            )


def of_topup(error: Exception) -> Refusal:
    """Why a top-up was not opened."""
    if isinstance(error, topups.KeyReused):
        return Refusal("key_reused", _("You have used this page already. Enter the amount again."))
    return Refusal("amount_out_of_bounds", _("Enter an amount from 0.01 to 50,000 yuan."), 400)


def moment(at: object) -> str:
    """A date and time as the reader writes it, in the product's time zone."""
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT")  # type: ignore[arg-type]
