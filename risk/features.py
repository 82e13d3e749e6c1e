"""
What a rule may look at: a request's and its buyer's features, plain values, gathered before judging (risk.gate).

What costs a query or a call to the fast store is gathered only if a rule that is not off needs it, and is None else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from basis import addresses

ORDER, SIGN_IN, PAYMENT_TOKEN = "order", "sign_in", "payment_token"


class Need(Enum):
    """What has to be asked for."""

    RATES = "rates"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Rates:
    """
    How often this buyer, address and device came, this request included: `counts[("buyer", 60)]` in the last 60
    seconds. Zero where there is nothing to count by, or the fast store is away.
    """

    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    buyers_on_device: int = 0  # different buyers in the last one to two hours, within 1 %
    buyers_on_address: int = 0
    addresses_of_buyer: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """The buyer's orders so far."""

    placed: int = 0
    paid: int = 0
    unpaid_ended: int = 0  # held seats and let them go without paying
    refunded: int = 0


@dataclass(frozen=True, slots=True)
class Features:
    """
    `device`, `card` and `document` are blind indexes (basis.sealed), empty if there is none; `device_before` are those
    of the device under older keys, while a rotation lists several.
    """

    purpose: str
    show: str = ""
    buyer_id: int | None = None
    address: str = ""
    device: str = ""
    device_before: tuple[str, ...] = ()
    agent: str = ""
    language: str = ""
    account_age: timedelta | None = None
    document: str = ""
    card: str = ""
    rates: Rates | None = None
    history: History | None = None
    request_id: str = ""

    @property
    def signed_in(self) -> bool:
        return self.buyer_id is not None

    @property
    def customer(self) -> str:
        """Whom to count by address."""
        return addresses.customer(self.address)
