"""The hall in memory chooses exactly what the one-by-one way chooses from the rows."""

import random

from ticketing.adjacency import FreeRow, FreeSeat, apart, together
from ticketing.rush.hall import Hall, HallRow


def best(rows, quantity):
    """ticketing.seats.best_available over rows in memory."""
    found = together(rows, quantity, allow_orphan=False)
    return found or together(rows, quantity, allow_orphan=True) or apart(rows, quantity)


def random_rows(chance):
    rows, seat_id = [], 0
    for rank in range(chance.randint(1, 8)):
        width = chance.randint(1, 14)
        seats = []
        for position in range(width):
            seat_id += 1
            if chance.random() < 0.7:
                seats.append(FreeSeat(seat_id, position))
        rows.append((rank, width, seats))
    return rows


def test_the_choice_is_that_of_the_rows_until_the_last_seat():
    for seed in range(200):
        chance = random.Random(seed)
        rows = random_rows(chance)
        hall = Hall([HallRow(rank, rank, width, seats) for rank, width, seats in rows], {})
        left = {seat.id for _, _, seats in rows for seat in seats}
        while left:
            quantity = chance.randint(1, 6)
            free = [
                FreeRow(rank, tuple(seat for seat in seats if seat.id in left), width)
                for rank, width, seats in rows
            ]
            wanted = [seat.id for seat in best([row for row in free if row.seats], quantity)]
            assert hall.take_best(quantity) == wanted, (seed, quantity)
            left -= set(wanted)
            assert hall.free == len(left)
            if not wanted and quantity == 1:
                raise AssertionError("one seat is left and was not given")


def test_chosen_seats_are_taken_all_or_none():
    rows = [HallRow(1, 1, 4, [FreeSeat(i, i) for i in range(4)]), HallRow(2, 2, 2, [FreeSeat(9, 0)])]
    hall = Hall(rows, {})
    assert hall.take([1, 9]) == []
    assert hall.free == 3
    assert hall.take([0, 1]) == [1]
    assert hall.free == 3
    assert hall.take_best(3) == [2, 3, 0] or hall.free == 0
