"""What every statement is read into, and how a file is refused: whole, with the line and the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

# A file's lines, numbered from 1, decoded, without their ends.
Numbered = Iterable[tuple[int, str]]

REASONS = {
    "empty": _("the file is empty"),
    "damaged": _("the archive is damaged here"),
    "too_large": _("the file is larger than any statement"),
    "encoding": _("this line is not text in the file's encoding"),
    "foreign": _("this is no statement of a known channel"),
    "several": _("there is more than one statement in the archive"),
    "part_twice": _("a part of the statement is in the archive twice"),
    "preface": _("the lines before the table do not say whose they are, or of which day"),
    "other_statement": _("this is another statement than the one asked for"),
    "other_merchant": _("this belongs to another merchant"),
    "other_day": _("this belongs to another day"),
    "columns": _("a column is missing"),
    "row": _("this row cannot be read"),
    "totals": _("the file's own totals disagree with its rows"),
    "truncated": _("the file ends before its totals"),
    "after_the_end": _("something follows the end of the statement"),
    "doubled": _("this file was loaded before"),
    "known_day": _("another statement of this day is loaded; replace it explicitly"),
    "being_loaded": _("this statement is being loaded right now"),
}


class Refused(Exception):
    """The file changes nothing. `line` counts from 1; 0 is the file as a whole. `reason` is a key of REASONS."""

    def __init__(self, line: int, reason: str, detail: str = "") -> None:
        super().__init__(f"line {line}: {reason}" + (f": {detail}" if detail else ""))
        self.line, self.reason, self.detail = line, reason, detail

    def said(self) -> str:
        """For staff, in their language."""
        text = str(REASONS.get(self.reason, self.reason)) + (f" ({self.detail})" if self.detail else "")
        return gettext("Line %(line)d: %(text)s") % {"line": self.line, "text": text} if self.line else text


class Line(NamedTuple):
    """
    One row. `amount_minor` is signed as money for us; `fee_milli` counts thousandths of a fen and is above zero when
    the channel keeps it; `happened_at` is the channel's own wall clock, in Shanghai. `discount_minor`, signed as the
    amount, is what of it a discount at the merchant's cost took off: it never moves.
    """

    line_no: int
    kind: str
    number: str
    payment_number: str
    reference: str
    amount_minor: int
    fee_milli: int
    currency: str
    status: str
    happened_at: str
    discount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """What the file must be about. An empty `merchant` is not compared."""

    day: date
    merchant: str = ""


class Reader(Protocol):
    """Reads one statement. When `lines` is exhausted, the totals were found and agree."""

    told: dict[str, Any]  # the file's own totals
    covers: Sequence[
        str
    ]  # of "payment" and "refund": what a row would be there for; known with the first line
    refunds_by: str  # "number" or "payment": by whose number a refund is named

    def lines(self, numbered: Numbered) -> Iterator[Line]:
        """:raises Refused: at the first line that is not as it must be"""
        ...


class Format(Protocol):
    """One kind of statement of one channel. Payments' whole knowledge of it is in payments.statements.formats."""

    channel: str
    kind: str
    currency: str  # of the account that it is about; each line names its own

    def recognises(self, head: Sequence[str]) -> bool:
        """Whether a file that begins with these lines is one of this kind."""
        ...

    def reader(self, expected: Expected) -> Reader: ...
