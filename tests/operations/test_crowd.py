"""The crowd itself: it is the same crowd for the same seed, it repeats what an app repeats, and it counts right."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from operations.crowd import habits
from operations.crowd.buyer import together
from operations.crowd.phone import OutOfPatience, Phone, open_session
from operations.crowd.tally import SHOP, Tally, quantile

BUYERS = 5_000


def test_a_seed_is_a_crowd():
    first = [habits.habit_of(7, index) for index in range(200)]
    assert first == [habits.habit_of(7, index) for index in range(200)]
    assert first != [habits.habit_of(8, index) for index in range(200)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_five_thousand_of_them_want_more_than_two_thousand_seats(seed):
    crowd = [habits.habit_of(seed, index) for index in range(BUYERS)]
    pays = [habit for habit in crowd if habit.way in (habits.PAYS, habits.SWITCHES, habits.PAYS_BOTH)]
    assert sum(habit.quantity for habit in pays) > 2_200
    assert all(count >= 20 for count in Counter(habit.way for habit in crowd).values())
    assert set(habits.WAYS) == {habit.way for habit in crowd}


def test_only_who_has_a_cashier_can_leave_it():
    leavers = {habits.LEAVES_CASHIER, habits.CANCELS_AT_CASHIER, habits.COMES_LATE, habits.SWITCHES}
    crowd = [habits.habit_of(1, index) for index in range(BUYERS)]
    assert all(habit.channel != habits.WALLET for habit in crowd if habit.way in leavers)


def test_neighbours_are_neighbours():
    row = [
        {"id": place, "state": state} for place, state in enumerate(["free", "taken", "free", "free", "free"])
    ]
    assert together(row, 2) == [2, 3]
    assert together(row, 3) == [2, 3, 4]
    assert together(row, 4) == []


def test_quantiles_of_few_and_none():
    assert quantile([], 0.99) == 0.0
    assert quantile([1.0], 0.5) == 1.0
    assert quantile([float(n) for n in range(100)], 0.99) == 99.0


def test_a_503_is_no_failure_and_a_500_is_one():
    tally = Tally(buyers=1)
    tally.answered(host=SHOP, step="order", status=503, code="unavailable", seconds=0.1)
    assert tally.failures == []
    tally.answered(host=SHOP, step="order", status=500, code="internal", seconds=0.1)
    assert len(tally.failures) == 1


def asked(handler, *, patience_s=5.0):
    """What an app ends with at a shop that answers as `handler` does, and what it noted on the way."""

    async def go():
        app = web.Application()
        app.router.add_post("/api/v1/orders", handler)
        async with TestServer(app) as server, open_session(at_once=4) as session:
            shop = str(server.make_url("")).rstrip("/")
            phone = Phone(session, shop, "kp_x", Tally(), random.Random(1), patience_s=patience_s)
            return await phone.post("order", "orders", {"quantity": 1}), phone.tally

    return asyncio.run(go())


@pytest.mark.parametrize("status", [409, 429, 503])
def test_it_comes_again_with_the_same_key_when_it_is_told_to(status):
    keys = []

    async def handler(request):
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) < 3:
            return web.json_response({"code": "later"}, status=status, headers={"Retry-After": "0"})
        return web.json_response({"number": "K1"}, status=201)

    answer, tally = asked(handler)
    assert answer.data == {"number": "K1"}
    assert len(set(keys)) == 1
    assert tally.counts["retries"] == 2


def test_a_lost_connection_is_tried_again_with_the_same_key():
    keys = []

    async def handler(request):
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            request.transport.abort()
        return web.json_response({"number": "K1"}, status=201)

    answer, tally = asked(handler)
    assert answer.ok
    assert len(set(keys)) == 1
    assert tally.counts["dropped_shop"] == 1


def test_a_refusal_is_final():
    calls = []

    async def handler(_request):
        calls.append(1)
        return web.json_response({"code": "sold_out"}, status=409)

    answer, _ = asked(handler)
    assert (answer.code, len(calls)) == ("sold_out", 1)


def test_patience_ends():
    async def handler(_request):
        return web.json_response({"code": "unavailable"}, status=503, headers={"Retry-After": "0"})

    with pytest.raises(OutOfPatience):
        asked(handler, patience_s=0.2)
