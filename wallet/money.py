"""Exact amounts of money: an integer count of the currency's smallest unit, and the currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from babel.numbers import format_currency, get_currency_precision

CNY = "CNY"


class DifferentCurrencies(Exception):
    """Two amounts of different currencies have no sum."""


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount; `minor` counts the smallest unit (CNY fen, JPY yen)."""

    minor: int
    currency: str = CNY

    def __add__(self, other: Money) -> Money:
        if self.currency != other.currency:
            raise DifferentCurrencies(f"{self.currency} + {other.currency}")
        return Money(self.minor + other.minor, self.currency)

    def decimal(self) -> Decimal:
        """The amount in the currency's main unit, e.g. 12345 fen as 123.45."""
        return Decimal(self.minor).scaleb(-get_currency_precision(self.currency))

    def text(self, locale: str = "zh_Hans_CN") -> str:
        """The amount as people write it, e.g. `¥123.45`."""
        return format_currency(self.decimal(), self.currency, locale=locale)
