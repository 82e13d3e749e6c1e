"""
What a resolution does, told before it is done: states that move, lines that are booked, messages that go out, and
whether everything holds afterwards. It is not foretold but tried: the resolution runs in a transaction that is taken
back (desk.resolve), so that the preview cannot say anything else than what will be done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from desk.facts import Facts, Key
from payments.models import OutboxMessage
from wallet.journal import Booked

NEW = "new"


@dataclass(frozen=True, slots=True)
class Move:
    """`kind` is order, topup, payment, refund, ticket, seat, notification, hold or amount; `before` is empty if new."""

    kind: str
    number: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is booked. `entry` is the entry's kind; above zero it credits `account`, below zero it debits it."""

    entry: str
    account: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Message:
    """Work that goes out after the commit: `kind` is an outbox kind, e.g. `refund.drive`; `about` a number."""

    kind: str
    about: str


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant of what the case is about, after the resolution: does it hold, and if not, why."""

    code: str
    holds: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """
    `answer` is what the channel said when it was asked for this preview, as text. `fingerprint` covers the present
    state and every effect: executing with it does exactly this or nothing. `moved_minor` is the money that is booked;
    `needs_two` says that a second person must approve, `types_amount` that the amount is to be typed.
    """

    case: str
    resolution: str
    inputs: Mapping[str, str]
    answer: str
    moves: Sequence[Move]
    lines: Sequence[Line]
    messages: Sequence[Message]
    checks: Sequence[Check]
    case_becomes: str
    amount_minor: int
    moved_minor: int
    currency: str
    needs_two: bool
    types_amount: bool
    fingerprint: str

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    @property
    def nothing(self) -> bool:
        """Whether nothing but the case itself changes."""
        return not (self.moves or self.lines or self.messages)

    def as_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self), default=str))


@dataclass(frozen=True, slots=True)
class Effects:
    """What happened between two looks."""

    moves: tuple[Move, ...]
    lines: tuple[Line, ...]
    messages: tuple[Message, ...]

    @property
    def moved_minor(self) -> int:
        """The most that was booked in one currency: the sum of what was credited."""
        by: dict[str, int] = {}
        for line in self.lines:
            by[line.currency] = by.get(line.currency, 0) + max(line.amount_minor, 0)
        return max(by.values(), default=0)


def effects(before: Facts, after: Facts, booked: Iterable[Booked]) -> Effects:
    """Compare two looks. What is new gets a name by its order, because its number is made by chance."""
    was, now = before.states(), after.states()
    names = _names(was, now)
    moves = [
        Move(kind, names.get(number, number), was.get((kind, number), ""), now.get((kind, number), ""))
        for kind, number in [*was, *(key for key in now if key not in was)]
        if was.get((kind, number), "") != now.get((kind, number), "")
    ]
    lines = [Line(line.kind, line.account, line.amount_minor, line.currency) for line in booked]
    return Effects(tuple(moves), tuple(lines), tuple(_messages(before, after, names)))


def _names(was: Mapping[Key, str], now: Mapping[Key, str]) -> dict[str, str]:
    counts: dict[str, int] = {}
    names = {}
    for kind, number in now:
        if (kind, number) not in was and kind not in ("amount", "seat", "hold"):
            counts[kind] = counts.get(kind, 0) + 1
            names[number] = f"{NEW} {counts[kind]}"
    return names


def _messages(before: Facts, after: Facts, names: Mapping[str, str]) -> Iterable[Message]:
    was = before.next_steps()
    for key, message in after.next_steps().items():
        if key not in was or _sooner(message, was[key]):
            number = key.partition(":")[2] or key
            yield Message(message.kind, names.get(number, number))


def _sooner(message: OutboxMessage, was: OutboxMessage) -> bool:
    return message.attempts < was.attempts or message.due_at < was.due_at


def digest(*parts: Any) -> str:
    """A fingerprint of facts; times and numbers made by chance must not be among them."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else str(value)


def of_states(facts: Facts) -> list[list[str]]:
    """The present state in a form that `digest` takes."""
    return sorted([kind, number, state] for (kind, number), state in facts.states().items())
