"""What the buyer's templates need: amounts, times, numbers in groups."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from payments import redirect
from payments.models import Refund
from ticketing import refund_terms
from ticketing.models import Show, ShowCancellation
from ticketing.pages import refunds, stops
from ticketing.timeline import BUYER, CHANNEL, STAFF
from ticketing.wording import amount, channel_name

register = template.Library()

FEW = 50


@register.filter
def money(minor: int, currency: str = "CNY") -> str:
    """Minor units as the reader writes them: `{{ order.amount_minor|money:order.currency }}`."""
    return amount(minor, currency)


@register.filter
def price(minor: int, currency: str = "CNY") -> str:
    """A price on a list: without the decimals of a whole amount."""
    return amount(minor, currency).removesuffix(".00")


@register.filter
def signed_money(minor: int, currency: str = "CNY") -> str:
    """With a plus or a (true) minus before it, for statements."""
    return ("+" if minor > 0 else "−" if minor < 0 else "") + amount(abs(minor), currency)


@register.filter
def yuan(minor: int) -> str:
    """Plain digits for a form field: `123.45`, or `123` when there are no fen."""
    return f"{minor // 100}" if minor % 100 == 0 else f"{minor // 100}.{minor % 100:02}"


@register.filter
def channel(code: str) -> str:
    return channel_name(code)


@register.filter
def iso(at: datetime) -> str:
    """For machines: `datetime="…"` and the countdown."""
    return timezone.localtime(at).isoformat(timespec="seconds")


@register.filter
def epoch_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


@register.filter
def day_and_time(at: datetime) -> str:
    """`11月22日 周日 19:30` or `Sun 22 Nov, 19:30`."""
    return formats.date_format(timezone.localtime(at), _("D j M, H:i"))


@register.filter
def to_the_second(at: datetime) -> str:
    """`11月22日 19:30:05` or `22 Nov, 19:30:05`: what to quote to support."""
    return formats.date_format(timezone.localtime(at), _("j M, H:i:s"))


@register.filter
def hour(at: datetime) -> str:
    return formats.date_format(timezone.localtime(at), "H:i")


@register.filter
def end_of(ends_at: datetime, starts_at: datetime) -> str:
    """When what began at `starts_at` ends: the hour, with the day if it is another one."""
    same_day = timezone.localtime(ends_at).date() == timezone.localtime(starts_at).date()
    return hour(ends_at) if same_day else day_and_time(ends_at)


@register.simple_tag
def remaining(until: datetime, now: datetime) -> str:
    """What is left, as `14:59`, or `1:02:03` from an hour on; never below zero."""
    seconds = max(0, int((until - now).total_seconds()))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


@register.filter
def who(actor: str) -> str:
    return {BUYER: _("You"), CHANNEL: _("Payment channel"), STAFF: _("Staff")}.get(actor, _("System"))


@register.filter
def is_few(free: int) -> bool:
    return 0 < free < FEW


@register.simple_tag
def stop_notices() -> list[str]:
    """What staff have stopped for everybody; no query."""
    return stops.notices()


@register.simple_tag
def sale_stop_notice(show_code: str) -> str:
    """What is said while the sale of this show is stopped; empty while it is not."""
    return stops.of_sale(show_code)


@register.filter
def is_offered(refund: Refund) -> bool:
    """Whether the buyer may have this refund in the wallet instead."""
    return redirect.is_offered(refund)


@register.simple_tag
def refund_rule(show: Show) -> list[str]:
    """The published refund rule of a show, at most half a minute old."""
    return refunds.rule_of(refund_terms.terms_to_show(show))


@register.simple_tag
def cancellation_words(show: Show) -> str:
    """What the staff say about a show that does not take place, in the reader's language; may be empty."""
    found = ShowCancellation.objects.filter(show=show).first()
    return found.said if found else ""
