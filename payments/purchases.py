"""
What can be bought, as payments sees it: a kind, a number, and a handler that the owner of the kind registers.

Payments never knows tickets. It asks the handler what a purchase costs, tells it that money came, and does what the
handler's verdict says. The handler's methods run inside the caller's transaction, after the caller took no lock at all:
the purchase's own row is the first lock of every flow (docs/locks.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class NoSuchPurchase(Exception):
    """There is no purchase of this kind and number, or it is somebody else's."""


@dataclass(frozen=True, slots=True)
class Quote:
    """
    What is to be paid, by whom, until when. A payment in flight may prolong `payable_until` as far as `limit_until`.
    `refusal` says why it cannot be paid now (`paid`, `closed`, `expired`); empty if it can.
    """

    buyer_id: int
    amount_minor: int
    currency: str
    subject: str
    payable_until: datetime
    limit_until: datetime
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Won:
    """The payment paid the purchase; its money is credited to the ledger account `credit`."""

    credit: str


@dataclass(frozen=True, slots=True)
class Surplus:
    """The purchase does not need this money; it goes back. `reason`: `paid_twice`, `too_late`, `cancelled`."""

    reason: str


class PurchaseHandler(Protocol):
    def quote(self, number: str, *, now: datetime) -> Quote:
        """
        What is to be paid, without a lock.

        :raises NoSuchPurchase: see there
        """
        ...

    def lock(self, number: str) -> object:
        """Lock the purchase's row and answer the purchase. The first lock of the transaction."""
        ...

    def quote_locked(self, purchase: object, *, now: datetime) -> Quote: ...

    def payment_started(
        self, purchase: object, *, payment_number: str, expires_at: datetime, now: datetime
    ) -> None:
        """A payment is in flight; the handler may prolong what it holds, within its own bound."""
        ...

    def payment_ended(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        """The payment in flight ended without success."""
        ...

    def settle(self, purchase: object, *, payment_number: str, now: datetime) -> Won | Surplus:
        """Money came. Elect the winner and deliver, all in the caller's transaction; repeatable."""
        ...

    def refunded(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        """The winning payment's money is back with the buyer in full."""
        ...

    def refunded_in_part(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        """A part of the winning payment's money is back with the buyer."""
        ...


_handlers: dict[str, PurchaseHandler] = {}


def register(kind: str, handler: PurchaseHandler) -> None:
    """Called once per kind, when the application starts."""
    _handlers[kind] = handler


def handler_of(kind: str) -> PurchaseHandler:
    """
    :raises NoSuchPurchase: nobody registered this kind
    """
    try:
        return _handlers[kind]
    except KeyError:
        raise NoSuchPurchase(kind) from None
