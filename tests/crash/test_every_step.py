"""
Every step boundary of an order's way, one after the other: the process dies there, once, and is replaced.

A run without a death counts the boundaries; then there is one run for each. Afterwards, with no human: what was
answered is still true, every order is final, and the audit is clean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.crash.town import Buyer, Refused, Town

pytestmark = pytest.mark.crash

PROCESSES = ("web", "worker", "sandbox")
BUYERS = 900
TRIES = 3

# What a buyer does; the states in which his orders may end.
Way = Callable[[Town, Buyer], dict[str, set[str]]]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("crash"), buyers=BUYERS)
    yield town
    town.close()


# -- the ways --------------------------------------------------------------------------------------------------


def wallet(town: Town, lin: Buyer) -> dict[str, set[str]]:
    number = lin.order()
    assert lin.pay(number, "wallet")["state"] == "succeeded"
    return {number: {"paid"}}


def through_a_channel(town: Town, lin: Buyer, channel: str) -> dict[str, set[str]]:
    number = lin.order()
    assert lin.pay_at_the_cashier(lin.pay(number, channel))
    town.wait_for_notifies()
    town.drain()
    return {number: {"paid"}}


def alipay(town: Town, lin: Buyer) -> dict[str, set[str]]:
    return through_a_channel(town, lin, "alipay")


def wechat(town: Town, lin: Buyer) -> dict[str, set[str]]:
    return through_a_channel(town, lin, "wechat")


def late_money_for_seats_that_are_gone(town: Town, lin: Buyer) -> dict[str, set[str]]:
    number = lin.order()
    payment = lin.pay(number, "alipay")
    town.at_the_sandbox("GET", payment["cashier"]["url"], follow_redirects=True) if payment[
        "cashier"
    ] else None
    town.plan.pass_time(seconds=1600)
    town.work("ticketing.tasks.expire_orders")
    town.staff("take_the_seats_of", number=number)
    path = f"/cashier/alipay/{payment['number']}/pay"
    town.at_the_sandbox("POST", path, headers={"Accept": "application/json"})
    town.wait_for_notifies()
    town.drain()
    town.drain()
    return {number: {"expired"}}


def switching_to_another_channel(town: Town, lin: Buyer) -> dict[str, set[str]]:
    number = lin.order()
    first = lin.pay(number, "alipay")
    second = lin.pay(number, "wechat")
    lin.pay_at_the_cashier(second)
    path = f"/cashier/alipay/{first['number']}/pay"
    town.at_the_sandbox("POST", path, headers={"Accept": "application/json"})
    town.wait_for_notifies()
    town.drain()
    town.drain()
    return {number: {"paid"}}


def cancelling_while_paying(town: Town, lin: Buyer) -> dict[str, set[str]]:
    number = lin.order()
    payment = lin.pay(number, "wechat")
    with suppress(Refused):
        lin.post(f"orders/{number}/cancel")
    lin.pay_at_the_cashier(payment)
    town.wait_for_notifies()
    town.drain()
    town.drain()
    return {number: {"cancelled"}}


def topping_up(town: Town, lin: Buyer) -> dict[str, set[str]]:
    before = lin.get("wallet")["cash"]["amount"]
    number = str(lin.post("wallet/topups", {"amount": 5000})["number"])
    assert lin.pay_at_the_cashier(lin.pay(number, "alipay"))
    town.wait_for_notifies()
    town.drain()
    town.rest()
    assert lin.get("wallet")["cash"]["amount"] == before + 5000
    return {}


WAYS = (
    wallet,
    alipay,
    wechat,
    late_money_for_seats_that_are_gone,
    switching_to_another_channel,
    cancelling_while_paying,
    topping_up,
)


# -- the deaths ------------------------------------------------------------------------------------------------


def live_through(town: Town, way: Way, who: str, kill_at: int) -> list[str]:
    """One run; the names of the boundaries that were reached."""
    lin = town.a_buyer()
    town.plan.begin(who=who, kill_at=kill_at)
    wanted = way(town, lin)
    names = town.plan.end()
    town.rest()
    for number, states in wanted.items():
        state = lin.get(f"orders/{number}")["state"]
        assert state in states, f"order {number} is {state}"
    return names


@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", PROCESSES)
@pytest.mark.parametrize("way", WAYS)
def test_death_at_every_step(town: Town, way: Way, who: str) -> None:
    begun = time.monotonic()
    names = live_through(town, way, who, 0)
    # A slow machine makes a channel repeat itself, so that one run may have a step more than the next.
    unreached = [step for step, name in enumerate(names, start=1) if not dies_at(town, way, who, step, name)]
    assert all(who == "sandbox" and "notify" in names[step - 1] for step in unreached), unreached
    assert town.staff("audited") == []
    died = len(names) - len(unreached)
    print(f"\n{way.__name__}: {who} killed at each of {died} boundaries, {time.monotonic() - begun:.1f} s")


def dies_at(town: Town, way: Way, who: str, step: int, name: str) -> bool:
    """Whether the run came as far as that boundary, within three tries; a run that ends badly fails the test."""
    for _ in range(TRIES):
        try:
            if len(live_through(town, way, who, step)) >= step:
                return True
        except AssertionError as error:
            raise AssertionError(f"{who} killed at step {step}, {name}: {error}") from error
    return False
