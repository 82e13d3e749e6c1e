"""Fen and yuan, by integers only."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.channels.yuan import to_fen, to_yuan


@given(st.integers(min_value=0, max_value=10**13))
def test_there_and_back(fen):
    assert to_fen(to_yuan(fen)) == fen
    assert Decimal(to_yuan(fen)) * 100 == fen


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_every_plain_decimal_is_read_exactly(yuan):
    assert to_fen(f"{yuan:.2f}") == int(yuan * 100)


def test_short_forms_are_read():
    assert [to_fen(text) for text in ("0.01", "1.1", "88", "88.00")] == [1, 110, 8800, 8800]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.234",
        "-1.00",
        "+1.00",
        "1e2",
        " 1.00",
        "1.00\n",
        "１.00",
        "1,000.00",
        ".50",
        "1.",
        1.0,
        100,
        None,
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(ValueError, match="not an amount"):
        to_fen(text)


def test_a_negative_amount_is_not_sent():
    with pytest.raises(ValueError, match="-1 fen"):
        to_yuan(-1)
