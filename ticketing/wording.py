"""Words that several pages and the timeline share, in the reader's language."""

from __future__ import annotations

from django.utils.translation import get_language

from payments.models import ChannelCode
from wallet.money import Money


def is_english() -> bool:
    return (get_language() or "").startswith("en")


def amount(minor: int, currency: str) -> str:
    """An amount as the reader writes it, e.g. `¥123.45`."""
    return Money(minor, currency).text("en" if is_english() else "zh_Hans_CN")


def channel_name(code: str) -> str:
    return str(ChannelCode(code).label) if code in ChannelCode.values else code
