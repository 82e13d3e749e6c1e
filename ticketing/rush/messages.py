"""What stands in the streams, read strictly: the fast store is ours, and still nobody's word is taken for a row's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

NUMBER = re.compile(r"[0-9A-Z]{8,32}", re.ASCII).fullmatch
WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII).fullmatch
AT_MS_MAX = 253_402_300_800_000  # what a datetime can say: the year 10000


class Unreadable(Exception):
    """The message is not one of ours and cannot be decided. `number`: the order that it names, empty if none."""

    def __init__(self, stream_id: str, number: str = "") -> None:
        super().__init__(stream_id)
        self.number = number


@dataclass(frozen=True, slots=True)
class Submission:
    """One accepted submission; `id` is its place in the stream, `at_ms` when it was accepted."""

    id: str
    number: str
    buyer_id: int
    client_key: str
    quantity: int
    seat_ids: tuple[int, ...]
    accept_equal_seats: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class PressMessage:
    """One press on Pay."""

    id: str
    order: str
    buyer_id: int
    token: str


def submission(stream_id: str, fields: Mapping[str, str]) -> Submission:
    """
    :raises Unreadable: see there
    """
    try:
        seats = tuple(_whole(seat) for seat in fields["s"].split(",") if seat)
        return Submission(
            stream_id,
            _number(fields["n"]),
            _whole(fields["b"]),
            _text(fields["k"])[:255],
            len(seats) or _whole(fields["q"]),
            seats,
            fields["e"] == "1",
            _moment(fields["t"]),
        )
    except (KeyError, ValueError) as error:
        raise _unreadable(stream_id, fields) from error


def press(stream_id: str, fields: Mapping[str, str]) -> PressMessage:
    """
    :raises Unreadable: see there
    """
    try:
        return PressMessage(stream_id, _number(fields["n"]), _whole(fields["b"]), _text(fields["p"]))
    except (KeyError, ValueError) as error:
        raise _unreadable(stream_id, fields) from error


def queued(fields: Mapping[str, str]) -> int:
    """How many seats submit.lua counted as queued for this message; what is no number was not counted."""
    found = fields.get("q", "")
    return int(found) if WHOLE(found) else 0


def _unreadable(stream_id: str, fields: Mapping[str, str]) -> Unreadable:
    number = fields.get("n", "")
    return Unreadable(stream_id, number if NUMBER(number) else "")


def _number(text: str) -> str:
    if not NUMBER(text):
        raise ValueError(text)
    return text


def _whole(text: str) -> int:
    if not WHOLE(text):
        raise ValueError(text)
    return int(text)


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL, which Postgres does not keep")
    return text


def _moment(text: str) -> int:
    at_ms = float(text)
    if not 0 <= at_ms < AT_MS_MAX:
        raise ValueError(text)
    return int(at_ms)
