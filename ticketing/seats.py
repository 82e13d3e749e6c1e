"""
Taking and freeing seats. One writer per price tier at a time: a transaction-long advisory lock on the tier.

Taking needs the lock; freeing and selling do not, because they only touch seats that the caller's order has.
"""

from __future__ import annotations

from collections.abc import Iterator

from basis import prepared
from ticketing.adjacency import FreeRow, FreeSeat, apart, together
from ticketing.models import Seat, SeatState
from ticketing.rush import release

ROWS_AT_FIRST, ROWS_A_LOOK_MAX = 4, 256
TIER_LOCKS = 7001  # the first key of the advisory locks on tiers


class SoldOut(Exception):
    """The tier has fewer free seats than asked for."""


class SeatsTaken(Exception):
    """Some of the chosen seats are not free, or not of this tier; none was taken."""

    def __init__(self, seat_ids: list[int]) -> None:
        super().__init__(seat_ids)
        self.seat_ids = seat_ids


def lock_tier(tier_id: int) -> None:
    """Be the tier's only writer until the transaction ends."""
    prepared.rows("SELECT pg_advisory_xact_lock(%s::int, %s::int)", [TIER_LOCKS, tier_id])


FREE_ROWS = """
SELECT seat.row_rank, seat.row_id, row.seats,
       array_agg(seat.id ORDER BY seat.position), array_agg(seat.position ORDER BY seat.position)
  FROM ticketing_seat seat JOIN ticketing_row row ON row.id = seat.row_id
 WHERE seat.tier_id = %s AND seat.state = 'F' AND seat.order_id IS NULL AND (seat.row_rank, seat.row_id) > (%s, %s)
 GROUP BY seat.row_rank, seat.row_id, row.seats
 ORDER BY seat.row_rank, seat.row_id LIMIT %s
"""


def free_rows(tier_id: int) -> Iterator[list[FreeRow]]:
    """The tier's rows that have free seats, best first: few at the first look, more at each further one."""
    rank, row_id, look = -1, 0, ROWS_AT_FIRST
    while True:
        found = prepared.rows(FREE_ROWS, [tier_id, rank, row_id, look])
        if not found:
            return
        yield [
            FreeRow(rank, tuple(FreeSeat(i, p) for i, p in zip(ids, positions, strict=True)), width)
            for rank, _, width, ids, positions in found
        ]
        if len(found) < look:
            return
        rank, row_id, look = found[-1][0], found[-1][1], min(4 * look, ROWS_A_LOOK_MAX)


def best_available(tier_id: int, quantity: int) -> list[int]:
    """
    The ids of the best free seats together; the caller holds the tier's lock.

    :raises SoldOut: fewer than `quantity` are free
    """
    seen: list[FreeRow] = []
    for rows in free_rows(tier_id):
        seen.extend(rows)
        found = together(rows, quantity, allow_orphan=False)
        if found:
            return [seat.id for seat in found]
    found = together(seen, quantity, allow_orphan=True) or apart(seen, quantity)
    if not found:
        raise SoldOut(tier_id)
    return [seat.id for seat in found]


def check_held(seat_ids: list[int], held: list[int | None]) -> None:
    """
    :raises SeatsTaken: they are not all among the `held`
    """
    gone = set(seat_ids) - set(held)
    if gone:
        raise SeatsTaken(sorted(gone))


def sell_free(seat_ids: list[int], *, tier_id: int, order_id: int) -> None:
    """
    Sell free seats to an order without a hold (late money); the caller holds the tier's lock.

    :raises SeatsTaken: they are not all free seats of this tier
    """
    _take(seat_ids, tier_id, order_id, SeatState.SOLD)


def _take(seat_ids: list[int], tier_id: int, order_id: int, state: SeatState) -> None:
    free = Seat.objects.filter(pk__in=seat_ids, tier_id=tier_id, state=SeatState.FREE)
    if free.update(state=state, order_id=order_id) != len(seat_ids):
        mine = Seat.objects.filter(pk__in=seat_ids, order_id=order_id)
        check_held(seat_ids, list(mine.values_list("pk", flat=True)))


def sell(order_id: int) -> list[int]:
    """The order's held seats are sold; answer their ids."""
    rows = prepared.rows(
        "UPDATE ticketing_seat SET state = 'S' WHERE order_id = %s AND state = 'H' RETURNING id", [order_id]
    )
    return sorted(seat_id for (seat_id,) in rows)


def free(order_ids: list[int]) -> int:
    """Release every seat that these orders have; answer how many. A rush hears of them after the commit."""
    release.on_commit(order_ids)
    return Seat.objects.filter(order_id__in=order_ids).update(state=SeatState.FREE, order=None)


def give_back(seat_ids: list[int], *, order_id: int, keep: bool) -> None:
    """
    Take sold seats from an order that the caller has locked: free again, or kept from sale.

    :raises SeatsTaken: they are not all the order's; none was taken
    """
    state = SeatState.BLOCKED if keep else SeatState.FREE
    mine = Seat.objects.filter(pk__in=seat_ids, order_id=order_id, state=SeatState.SOLD)
    if mine.update(state=state, order=None) != len(seat_ids):
        raise SeatsTaken(seat_ids)
