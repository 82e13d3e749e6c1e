"""
What the product asks of a channel that pays money out, and the answers it can give. Beside the port for payments: a
channel may have one without the other.

As there, `Unknown` is an answer: it is asked again and never guessed. Sending a transfer again under the same number
pays it out once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from payments.channels.port import Declined, Unknown

ALIPAY, BANK = "alipay", "bank"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money to somebody. `kind` says what `account` is: an Alipay login (phone, mail) or a bank card's number."""

    number: str
    amount_minor: int
    currency: str
    kind: str
    account: str = field(repr=False)
    name: str = field(repr=False)
    title: str = ""
    is_company: bool = False


@dataclass(frozen=True, slots=True)
class TransferDone:
    """The money is with the payee."""

    channel_reference: str
    amount_minor: int
    at: datetime


@dataclass(frozen=True, slots=True)
class TransferWorking:
    """The channel has it and works on it; ask again."""


@dataclass(frozen=True, slots=True)
class TransferAbsent:
    """The channel has no such transfer; sending it again with the same number is right."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The channel had it and did not pay it out, for good."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class TransferReturned:
    """It was paid out, and the payee's bank sent it back."""

    code: str
    message: str = ""


SendResult = TransferDone | TransferWorking | Declined | Unknown
AskResult = TransferDone | TransferWorking | TransferAbsent | TransferFailed | TransferReturned | Unknown


class Payouts(Protocol):
    """A channel that pays out. Both methods may take seconds and are called outside any transaction."""

    def send(self, transfer: Transfer) -> SendResult: ...

    def ask(self, transfer: Transfer) -> AskResult: ...
