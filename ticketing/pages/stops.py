"""What buyers are told while staff have stopped something (risk.switches): the staff's words, else ours."""

from __future__ import annotations

from django.utils.translation import gettext as _

from risk import switches
from risk.policy import Stop
from ticketing.wording import channel_name, is_english


def notices() -> list[str]:
    """What concerns everybody, for the top of every page. A show's own stop is told where that show is sold."""
    return [words(stop) for stop in switches.in_force() if stop.kind != switches.SALE or not stop.target]


def of_sale(show_code: str) -> str:
    """What the show's pages say while its sale is stopped; empty while it is not."""
    stop = switches.stopped(switches.SALE, show_code)
    return words(stop) if stop else ""


def words(stop: Stop) -> str:
    own = stop.said_en if is_english() else stop.said_zh
    return own or _default(stop)


def _default(stop: Stop) -> str:
    match stop.kind:
        case switches.SALE:
            return _("The sale is stopped for now. Orders that hold seats can still be paid.")
        case switches.CHANNEL:
            text = _("%(channel)s takes no new payments for now. What is paid already is safe.")
            return text % {"channel": channel_name(stop.target)}
        case switches.TOPUPS:
            return _("The wallet takes no top-ups for now. Your balance is safe and can be spent.")
    return _("Withdrawals from the wallet are stopped for now. Your balance is safe.")
