"""The arithmetic of settlement, by property: to the fen, never more than there is, and it comes to rest."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ticketing.settlement_terms import fee_of, next_move

AMOUNT = st.integers(0, 10**9)
RATE = st.integers(0, 10_000)


@given(due=AMOUNT, moved=AMOUNT, rate=RATE, available=st.integers(0, 10**9))
@settings(max_examples=500, deadline=None)
def test_a_move_is_one_way_and_within_what_there_is(due, moved, rate, available):
    move = next_move(due_total_minor=due, moved_minor=moved, fee_bps=rate, available_minor=available)
    after = moved + move.gross_minor
    if due >= moved:
        assert after == due
        assert min(move.gross_minor, move.fee_minor, move.net_minor) >= 0
    else:
        assert due <= after <= moved
        assert max(move.gross_minor, move.fee_minor, move.net_minor) <= 0
        assert -move.net_minor <= available
    # Whatever came before, the fee is that of what was moved in all.
    assert fee_of(moved, rate) + move.fee_minor == fee_of(after, rate)


@given(due=AMOUNT, moved=AMOUNT, rate=RATE, comes=st.lists(st.integers(0, 10**8), max_size=12))
@settings(max_examples=200, deadline=None)
def test_what_is_owed_is_paid_from_what_comes(due, moved, rate, comes):
    """Taken in however many parts, the organiser gives back exactly his share, or all that came."""
    first, has, given_back = moved, 0, 0
    for amount in [*comes, 10**10]:
        has += amount
        move = next_move(due_total_minor=due, moved_minor=moved, fee_bps=rate, available_minor=has)
        has, moved, given_back = has + move.net_minor, moved + move.gross_minor, given_back + move.net_minor
        assert has >= 0
    assert moved == due
    assert given_back == (due - fee_of(due, rate)) - (first - fee_of(first, rate))


@given(total=AMOUNT, rate=RATE)
def test_the_fee_is_never_more_than_the_whole(total, rate):
    assert 0 <= fee_of(total, rate) <= total
