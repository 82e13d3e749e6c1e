"""
A tier's free seats in memory: what the drainer chooses from. The choice is `ticketing.adjacency`'s, kept incremental:
a row knows which sizes fit into it, so a choice looks at a bit of each row instead of at its seats.

It is a copy. The rows in Postgres decide; whoever finds the copy wrong loads it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection

from ticketing.adjacency import FreeRow, FreeSeat, apart, together


@dataclass(frozen=True, slots=True)
class Place:
    """Where a seat is, as people say it."""

    section: str
    row: str
    seat: str


class HallRow:
    """One row's free seats. `sizes` has bit q set when q seats side by side leave no orphan."""

    __slots__ = ("free", "key", "rank", "seats", "sizes", "width")

    def __init__(self, key: int, rank: int, width: int, seats: Iterable[FreeSeat]) -> None:
        self.key, self.rank, self.width = key, rank, width
        self.seats = sorted(seats, key=lambda seat: seat.position)
        self._measure()

    def remove(self, taken: Sequence[FreeSeat]) -> None:
        gone = {seat.id for seat in taken}
        self.seats = [seat for seat in self.seats if seat.id not in gone]
        self._measure()

    def _measure(self) -> None:
        # A run of n seats serves n itself and everything up to n - 2; n - 1 would leave one seat alone.
        sizes, length, last = 0, 0, None
        for seat in self.seats:
            if last is not None and seat.position != last + 1:
                sizes |= _served(length)
                length = 0
            length, last = length + 1, seat.position
        self.sizes = sizes | _served(length)
        self.free = FreeRow(self.rank, tuple(self.seats), self.width)


def _served(run: int) -> int:
    return (1 << run) | ((1 << max(run - 1, 0)) - 1) if run else 0


class Hall:
    """The free seats of one tier."""

    def __init__(self, rows: Iterable[HallRow], places: dict[int, Place]) -> None:
        self.rows = [row for row in rows if row.seats]
        self.places = places
        self.row_of = {seat.id: row for row in self.rows for seat in row.seats}

    @property
    def free(self) -> int:
        return len(self.row_of)

    def take_best(self, quantity: int) -> list[int]:
        """The ids of the best `quantity` seats, taken; empty when there are too few."""
        if quantity > self.free:
            return []
        bit = 1 << quantity
        for row in self.rows:
            if row.sizes & bit:
                return self._take(together([row.free], quantity, allow_orphan=False))
        rows = [row.free for row in self.rows]
        return self._take(together(rows, quantity, allow_orphan=True) or apart(rows, quantity))

    def take(self, seat_ids: Sequence[int]) -> list[int]:
        """Take exactly these; answer those that are not free, and then none was taken."""
        missing = [seat_id for seat_id in seat_ids if seat_id not in self.row_of]
        if not missing:
            wanted = set(seat_ids)
            rows = {id(self.row_of[seat_id]): self.row_of[seat_id] for seat_id in seat_ids}
            self._take([seat for row in rows.values() for seat in row.seats if seat.id in wanted])
        return missing

    def _take(self, chosen: Sequence[FreeSeat]) -> list[int]:
        by_row: dict[int, tuple[HallRow, list[FreeSeat]]] = {}
        for seat in chosen:
            row = self.row_of.pop(seat.id)
            by_row.setdefault(row.key, (row, []))[1].append(seat)
        for row, seats in by_row.values():
            row.remove(seats)
            if not row.seats:
                self.rows.remove(row)
        return [seat.id for seat in chosen]


FREE = """
SELECT seat.row_id, seat.row_rank, row.seats, seat.id, seat.position, section.code, row.label, seat.label
  FROM ticketing_seat seat JOIN ticketing_row row ON row.id = seat.row_id
  JOIN ticketing_section section ON section.id = row.section_id
 WHERE seat.tier_id = %s AND seat.state = 'F' AND seat.order_id IS NULL
 ORDER BY seat.row_rank, seat.row_id, seat.position
"""


def load(tier_id: int) -> Hall:
    """The tier's free seats as Postgres has them now."""
    with connection.cursor() as cursor:
        cursor.execute(FREE, [tier_id])
        found = cursor.fetchall()
    rows: dict[int, tuple[int, int, list[FreeSeat]]] = {}
    places = {}
    for row_id, rank, width, seat_id, position, section, row, label in found:
        rows.setdefault(row_id, (rank, width, []))[2].append(FreeSeat(seat_id, position))
        places[seat_id] = Place(section, row, label)
    return Hall((HallRow(key, rank, width, seats) for key, (rank, width, seats) in rows.items()), places)
