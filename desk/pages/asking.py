"""What other pages ask the desk for: a second person's approval of what their reader may not do alone."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from desk import wishes
from desk.pages import acting
from desk.trail import Person
from ticketing import refunding
from ticketing.models import Order
from ticketing.refund_admin import WHY
from ticketing.second_person import CannotAsk, Maker, WantedCancellation, WantedRefund


def ask(wanted: WantedRefund | WantedCancellation, *, maker: Maker, now: datetime) -> str:
    """Registered as `ticketing.second_person.Asker`; see there."""
    by = Person(maker.user, maker.address)
    try:
        asked = wishes.asked(maker.key, _subject(wanted)) or wishes.ask(
            _wish(wanted, now=now), reason=maker.reason, by=by, key=maker.key, now=now
        )
    except wishes.AskedBefore:
        raise CannotAsk(
            _(
                "Somebody asked for something about it already, and it is not decided yet: look at the approvals."
            )
        ) from None
    except refunding.NotRefundable as error:
        raise CannotAsk(str(WHY.get(error.reason, error.reason))) from error
    except acting.REFUSED as error:
        raise CannotAsk(acting.why(error)) from error
    return reverse("admin:desk_approval", args=[asked.pk])


def _subject(wanted: WantedRefund | WantedCancellation) -> str:
    return wanted.order if isinstance(wanted, WantedRefund) else wanted.show


def _wish(wanted: WantedRefund | WantedCancellation, *, now: datetime) -> wishes.Wish:
    if isinstance(wanted, WantedCancellation):
        return wishes.cancellation_of(code=wanted.show, said_zh=wanted.said_zh, said_en=wanted.said_en)
    return wishes.refund_of(
        order=Order.objects.get(number=wanted.order),
        tickets=list(wanted.tickets),
        amount_minor=wanted.amount_minor,
        seats_after=wanted.seats_after,
        fingerprint=wanted.fingerprint,
        now=now,
    )
