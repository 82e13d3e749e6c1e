"""The kinds of differences that are planted, and the class that each must be found as."""

from __future__ import annotations

PAYMENTS = {
    "unknown here": "missing_here",
    "not listed": "missing_there",
    "a yuan more": "amount_differs",
    "a fen less": "amount_differs",
    "still pending here": "status_differs",
    "closed here": "status_differs",
    "fee too high": "fee_differs",
    "no fee": "fee_differs",
    "the same line twice": "duplicate",
    "another trade under one number": "duplicate",
    "another currency": "currency_differs",
    "another reference": "reference_differs",
    "nothing booked": "ledger_differs",
    "a fen too much booked": "ledger_differs",
    "listed on the next day": "crossing",
    "never listed, near midnight": "crossing",
}
REFUNDS = {
    "refund unknown here": "refund_missing_here",
    "refund not listed": "refund_missing_there",
    "a fen less refunded": "refund_amount_differs",
    "refund still on its way here": "refund_status_differs",
    "the same refund twice": "duplicate",
    "refund of another payment": "refund_of_other",
    "refund not booked": "ledger_differs",
    "refund's fee wrong": "fee_differs",
}
# What looks odd and is right: nothing must be found.
GIVEN, PARTS = "a discount of ours at the channel", "the fee goes back in parts, the last takes the rest"
RIGHT_PAYMENTS, RIGHT_REFUNDS = (GIVEN,), (GIVEN, PARTS)
CROSSING = ("listed on the next day", "never listed, near midnight")
REFUND_EVERY = 19
"""One line in twenty is a refund: the n-th of the payment 19 n."""
