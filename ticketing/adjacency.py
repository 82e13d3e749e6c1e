"""
Which seats are the best together: a pure function over free seats, best row first.

Rules, in this order: all in one row, side by side; no orphan left behind (a single free seat between taken ones) where
that can be avoided; the best row; within the row the run nearest its centre. If no row has enough seats side by side,
the order is split over as few runs as possible, best rows first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class FreeSeat:
    """A free seat; `position` counts along the row without gaps, so that neighbours differ by one."""

    id: int
    position: int


@dataclass(frozen=True, slots=True)
class FreeRow:
    """The free seats of one row by position; `width` is the row's seats, free or not."""

    rank: int
    seats: tuple[FreeSeat, ...]
    width: int


def runs(row: FreeRow) -> list[tuple[FreeSeat, ...]]:
    """The row's free seats cut into stretches of neighbours."""
    if not row.seats:
        return []
    cuts = [0]
    cuts += [i + 1 for i, (a, b) in enumerate(pairwise(row.seats)) if b.position != a.position + 1]
    cuts.append(len(row.seats))
    return [row.seats[a:b] for a, b in pairwise(cuts)]


def together(rows: Iterable[FreeRow], quantity: int, *, allow_orphan: bool) -> tuple[FreeSeat, ...]:
    """`quantity` seats side by side in the best row that has them; empty if none has."""
    for row in rows:
        found = [
            (abs(_middle(part) - (row.width - 1) / 2), part[0].position, part)
            for run in runs(row)
            for part in _ends(run, quantity, allow_orphan=allow_orphan)
        ]
        if found:
            return min(found)[2]
    return ()


def _ends(run: tuple[FreeSeat, ...], quantity: int, *, allow_orphan: bool) -> list[tuple[FreeSeat, ...]]:
    """The two ways to take seats from the end of a run; taking from within would cut it in two for nothing."""
    left = len(run) - quantity
    if left < 0 or (left == 1 and not allow_orphan):
        return []
    return [run[:quantity], run[left:]]


def _middle(part: Sequence[FreeSeat]) -> float:
    return (part[0].position + part[-1].position) / 2


def apart(rows: Sequence[FreeRow], quantity: int) -> tuple[FreeSeat, ...]:
    """`quantity` seats in as few runs as a greedy choice finds, longest runs first, better rows first among equals."""
    pieces = sorted(((-len(run), row.rank, run) for row in rows for run in runs(row)), key=lambda p: p[:2])
    taken: list[FreeSeat] = []
    for _, _, run in pieces:
        taken.extend(run[: quantity - len(taken)])
        if len(taken) == quantity:
            return tuple(taken)
    return ()
