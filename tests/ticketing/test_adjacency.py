"""Best seats together, as a pure function: properties first, then the cases that people argue about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticketing.adjacency import FreeRow, FreeSeat, apart, runs, together


def row(rank: int, plan: str) -> FreeRow:
    """`"..x."`: a dot is a free seat, anything else a taken one."""
    seats = tuple(FreeSeat(rank * 1000 + i, i) for i, mark in enumerate(plan) if mark == ".")
    return FreeRow(rank, seats, len(plan))


def positions(seats: tuple[FreeSeat, ...]) -> list[int]:
    return [seat.position for seat in seats]


plans = st.text(alphabet=".x", min_size=1, max_size=30)
halls = st.lists(plans, min_size=1, max_size=6).map(lambda ps: [row(i, p) for i, p in enumerate(ps)])


@given(halls, st.integers(1, 6))
def test_seats_together_are_neighbours_in_one_row_and_leave_no_orphan(hall, quantity):
    found = together(hall, quantity, allow_orphan=False)
    if not found:
        return
    assert positions(found) == list(range(found[0].position, found[0].position + quantity))
    home = next(r for r in hall if set(found) <= set(r.seats))
    rest = FreeRow(home.rank, tuple(s for s in home.seats if s not in found), home.width)
    alone_before = sum(len(run) == 1 for run in runs(home))
    alone_after = sum(len(run) == 1 for run in runs(rest))
    assert alone_after <= alone_before


@given(halls, st.integers(1, 6))
def test_a_better_row_that_could_serve_is_never_passed_over(hall, quantity):
    found = together(hall, quantity, allow_orphan=True)
    able = [r.rank for r in hall if any(len(run) >= quantity for run in runs(r))]
    assert bool(found) == bool(able)
    if found:
        assert found[0].id // 1000 == min(able)


@given(halls, st.integers(1, 6))
def test_apart_serves_whenever_enough_is_free(hall, quantity):
    free = sum(len(r.seats) for r in hall)
    found = apart(hall, quantity)
    assert len(found) == (quantity if free >= quantity else 0)
    assert len(set(found)) == len(found)


def test_a_row_that_would_keep_an_orphan_is_passed_over_for_a_worse_row():
    hall = [row(0, "...xx"), row(1, "..xxx")]
    assert together(hall, 2, allow_orphan=False)[0].id == 1000


def test_the_run_nearest_the_centre_wins_within_a_row():
    assert positions(together([row(0, "....x....x....")], 2, allow_orphan=False)) in ([5, 6], [7, 8])


def test_a_split_uses_as_few_pieces_as_it_can():
    found = apart([row(0, ".x.x."), row(1, "...xx")], 4)
    assert sum(seat.id >= 1000 for seat in found) == 3
