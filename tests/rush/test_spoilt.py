"""
What stands in a tier's streams and is not as it was written there: nobody behind it waits, the drainer lives on, staff
see it among the refusals, and the buyer is told.
"""

import json

import pytest

from basis import fast
from risk import refusals
from ticketing.models import Order
from ticketing.rush import keys

SPOILT = {
    "a count that is none": {"q": "many"},
    "a count with a sign": {"q": "-3"},
    "a moment beyond all clocks": {"t": "99999999999999999"},
    "a moment without end": {"t": "1e999"},
    "no moment": {"t": "nan"},
    "a buyer beyond all ids": {"b": "9" * 30},
    "seats that are none": {"s": "1,x"},
    "a key that Postgres cannot keep": {"k": "a\0b"},
    "a key of bytes that are no text": {"k": b"\xff\xfe"},
    "a number of nobody's": {"n": "??"},
}


def respoilt(stream, part):
    """The only message of the stream, with `part` in place of what stood there."""
    ((message, fields),) = fast.store().xrange(stream)
    fast.store().xdel(stream, message)
    fast.store().xadd(stream, fields | part)


@pytest.mark.parametrize("part", SPOILT.values(), ids=SPOILT)
def test_a_submission_that_cannot_be_read_stops_nobody(rush, crowd, clock, part):
    lin, wei = crowd(2)
    spoilt = rush.submit(lin, 2)
    respoilt(keys.orders(rush.tier.pk), part)
    behind = rush.submit(wei)
    rush.turn()
    assert rush.status(wei, behind)["state"] == "held"
    assert fast.store().xlen(keys.orders(rush.tier.pk)) == 0
    told = rush.status(lin, spoilt)
    if "k" in part and isinstance(part["k"], bytes):
        assert told["state"] == "held"  # a key is a key, whatever it looks like
    elif "n" in part:
        assert told["state"] == "queued"  # nobody knows whose it was
    else:
        assert (told["state"], told["reason"]) == ("refused", "failed")
        assert refusals.told("small", hours=0, now=clock())["failed"] == 1
    rush.turn()
    assert fast.store().hget(keys.sale(rush.tier.pk), "queued") == "0"


@pytest.mark.parametrize(
    "part", [{"b": "x"}, {"p": "a\0b"}], ids=["a buyer who is none", "a token with a NUL"]
)
def test_a_press_that_cannot_be_read_stops_nobody(rush, crowd, part):
    lin, wei = crowd(2, cash=100_000)
    first, second = rush.held(lin), rush.held(wei)
    rush.press(lin, first["order"], first["payment_token"])
    respoilt(keys.presses(rush.tier.pk), part)
    rush.press(wei, second["order"], second["payment_token"])
    rush.turn()
    assert Order.objects.get(number=second["order"]).state == "paid"
    told = json.loads(fast.store().get(keys.payment(rush.tier.pk, first["order"])))
    assert (told["state"], told["reason"]) == ("refused", "failed")
    # The buyer presses again, and pays.
    assert rush.press(lin, first["order"], first["payment_token"])[0] == "queued"
    rush.turn()
    assert Order.objects.get(number=first["order"]).state == "paid"
