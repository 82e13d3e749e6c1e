"""What stands in the streams, read strictly: the fast store is ours, and still nobody's word is taken for a row's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

NUMBER = re.compile(r"[0-9A-Z]{8,32}", re.ASCII).fullmatch


class Unreadable(Exception):
    """The message is not one of ours; it cannot be answered and is dropped with a log line."""


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
        seats = tuple(int(seat) for seat in fields["s"].split(",") if seat)
        return Submission(
            stream_id,
            _number(fields["n"]),
            int(fields["b"]),
            fields["k"][:255],
            len(seats) or int(fields["q"]),
            seats,
            fields["e"] == "1",
            int(float(fields["t"])),
        )
    except (KeyError, ValueError) as error:
        raise Unreadable(stream_id) from error


def press(stream_id: str, fields: Mapping[str, str]) -> PressMessage:
    """
    :raises Unreadable: see there
    """
    try:
        return PressMessage(stream_id, _number(fields["n"]), int(fields["b"]), fields["p"])
    except (KeyError, ValueError) as error:
        raise Unreadable(stream_id) from error


def _number(text: str) -> str:
    if not NUMBER(text):
        raise ValueError(text)
    return text
