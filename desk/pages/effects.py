"""A preview in the reader's words, and two of them compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from desk.models import CaseState
from desk.pages import kinds, words
from desk.preview import Check, Line, Message, Move, Preview
from payments.dispute_models import DisputeState
from payments.models import PaymentState, RefundState, Verdict
from payments.withdrawal_models import WithdrawalState
from ticketing.models import OrderState, SeatState, TicketState


@dataclass(frozen=True, slots=True)
class ShownMove:
    what: str
    number: str
    before: str
    after: str
    colour: str


@dataclass(frozen=True, slots=True)
class ShownLine:
    entry: str
    account: str
    text: str


@dataclass(frozen=True, slots=True)
class ShownMessage:
    text: str
    about: str


@dataclass(frozen=True, slots=True)
class ShownCheck:
    text: str
    holds: bool
    why: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A preview as the templates read it."""

    answer: str
    moves: list[ShownMove]
    lines: list[ShownLine]
    messages: list[ShownMessage]
    checks: list[ShownCheck]
    case_becomes: str
    amount: str
    needs_two: bool
    types_amount: bool
    holds: bool
    fingerprint: str


def show(preview: Preview) -> Shown:
    return Shown(
        answer=kinds.answer(preview.answer),
        moves=_moves(preview.moves),
        lines=[_line(line) for line in preview.lines],
        messages=[_message(message) for message in preview.messages],
        checks=[_check(check) for check in preview.checks],
        case_becomes=kinds.case_state(preview.case_becomes),
        amount=words.amount(preview.amount_minor, preview.currency),
        needs_two=preview.needs_two,
        types_amount=preview.types_amount,
        holds=preview.holds,
        fingerprint=preview.fingerprint,
    )


def stored(preview: Mapping[str, Any]) -> Preview:
    """A preview as it was kept with a request."""
    known = {one.name: preview[one.name] for one in fields(Preview) if one.name in preview}
    known["moves"] = [Move(**one) for one in preview["moves"]]
    known["lines"] = [Line(**one) for one in preview["lines"]]
    known["messages"] = [Message(**one) for one in preview["messages"]]
    known["checks"] = [Check(**one) for one in preview["checks"]]
    return Preview(**known)


@dataclass(frozen=True, slots=True)
class Difference:
    """One effect as it was when it was asked for, and as it would be now."""

    what: str
    then: str
    now: str

    @property
    def changed(self) -> bool:
        return self.then != self.now


def compare(then: Preview, now: Preview | None) -> list[Difference]:
    """Effect by effect, in the order of the first."""
    before, after = dict(_told(then)), dict(_told(now)) if now else {}
    names = [*before, *(name for name in after if name not in before)]
    return [Difference(name, before.get(name, ""), after.get(name, "")) for name in names]


def _told(preview: Preview) -> Iterator[tuple[str, str]]:
    for move in _moves(preview.moves):
        yield f"{move.what} {move.number}", f"{move.before or '∅'} → {move.after}"
    for number, line in enumerate(_line(line) for line in preview.lines):
        yield f"{number + 1}. {line.entry} · {line.account}", line.text
    for number, message in enumerate(_message(message) for message in preview.messages):
        yield f"{number + 1}. {message.text}", message.about
    yield _("The case becomes"), kinds.case_state(preview.case_becomes)


def _moves(moves: Sequence[Move]) -> list[ShownMove]:
    """One line a move; seats, which have no number that anybody knows, are counted."""
    seats = Counter((move.before, move.after) for move in moves if move.kind == "seat")
    lines = [_move(move) for move in moves if move.kind != "seat"]
    return lines + [
        _move(Move("seat", f"× {count}", before, after)) for (before, after), count in seats.items()
    ]


def _move(move: Move) -> ShownMove:
    return ShownMove(
        what=kinds.thing(move.kind),
        number=move.number,
        before=state(move.kind, move.before),
        after=state(move.kind, move.after),
        colour=words.COLOURS.get(move.after.split(" ")[0], ""),
    )


_STATES: Mapping[str, Any] = {
    "order": OrderState,
    "payment": PaymentState,
    "refund": RefundState,
    "ticket": TicketState,
    "seat": SeatState,
    "notification": Verdict,
    "withdrawal": WithdrawalState,
    "dispute": DisputeState,
    "case": CaseState,
}


_WORDS: Mapping[tuple[str, str], Any] = {
    ("show", "takes_place"): gettext_lazy("takes place"),
    ("show", "cancelled"): gettext_lazy("cancelled"),
    ("sale", "on"): gettext_lazy("goes on"),
    ("sale", "stopped"): gettext_lazy("stopped"),
}


def state(kind: str, told: str) -> str:
    """The name of a state; what stands behind it (an outcome) is said as it is."""
    if (kind, told) in _WORDS:
        return str(_WORDS[kind, told])
    state, _space, more = told.partition(" ")
    choices = _STATES.get(kind)
    name = str(choices(state).label) if choices and state in choices.values else state
    if kind == "seat" and not told:
        # A seat that the order no longer has is anybody's to buy.
        return str(SeatState.FREE.label)
    return " · ".join((name, *(kinds.outcome(word) for word in more.split()))) if more else name


def _line(line: Line) -> ShownLine:
    sign = "+" if line.amount_minor > 0 else ""
    return ShownLine(line.entry, line.account, sign + words.amount(line.amount_minor, line.currency))


def _message(message: Message) -> ShownMessage:
    return ShownMessage(kinds.message(message.kind), message.about)


def _check(check: Check) -> ShownCheck:
    return ShownCheck(kinds.check(check.code), check.holds, check.why)
