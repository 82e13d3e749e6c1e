"""
A drainer is killed with SIGKILL at every boundary of a batch, orders and payments; another takes over. Then: every
accepted submission is answered once, no seat is given twice, everybody who pressed has paid once.
"""

import json
import os
import signal
from datetime import timedelta

import pytest
from django.db import connections, transaction

from basis import fast
from ticketing.models import Order, Seat, Ticket
from ticketing.rush import allocation, keys, lanes, paying, results

BOUNDARIES = ["before the commit", "after the commit", "before publishing", "after publishing"]


def killed(rush, boundary, worker):
    """Run a drainer in a fork that dies at `boundary`; answer when it is dead."""
    # A fork must open connections of its own: the parent leaves none behind, and no pool with its threads.
    connections.close_all()
    connections["default"].close_pool()
    fast.store.cache_clear()
    child = os.fork()
    if child == 0:
        try:
            _die_at(boundary)
            rush.turn(rush.another(worker))
        finally:
            os._exit(3)  # it must not come to this
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), (boundary, status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def _die(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(boundary):
    if boundary == "before the commit":
        lead, pay = allocation._Batch.decide, paying.batch.pay_all

        def decide(self):
            lead(self)
            _die()

        def pay_all(*args, **more):
            pay(*args, **more)
            _die()

        allocation._Batch.decide, paying.batch.pay_all = decide, pay_all
    elif boundary in ("after the commit", "before publishing"):
        results.publish = _die
    else:
        publish = results.publish

        def then_die(*args, **more):
            publish(*args, **more)
            _die()

        results.publish = then_die


@pytest.mark.crash
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_at(rush, crowd, clock, boundary):
    people = crowd(30, cash=400_000)
    rush.drainer.leave()
    rush.turn(rush.another("warm"))
    given = [(person, rush.submit(person, 1 + i % 3)) for i, person in enumerate(people)]
    clock.advance(seconds=7)  # the first drainer's lease is over
    killed(rush, boundary, "victim")
    clock.advance(seconds=7)
    rush.turn(survivor := rush.another("survivor"))
    told = {number: rush.status(person, number) for person, number in given}
    assert {status["state"] for status in told.values()} == {"held"}
    assert Order.objects.count() == 30
    assert list(Order.objects.order_by("pk").values_list("number", flat=True)) == [n for _, n in given]
    for person, number in given:
        rush.press(person, number, told[number]["payment_token"])
    clock.advance(seconds=7)
    killed(rush, boundary, "second victim")
    clock.advance(seconds=7)
    rush.turn(rush.another("second survivor"))
    for person, number in given:
        verdict, result, _ = rush.press(person, number, told[number]["payment_token"])
        assert (verdict, json.loads(result)["state"]) == ("done", "paid")
    assert (
        Ticket.objects.count() == Seat.objects.filter(state="S").count() == sum(1 + i % 3 for i in range(30))
    )
    assert survivor.tally.batches <= 2


def test_a_drainer_that_slept_changes_nothing(rush, crowd, clock):
    sleeper, (lin, wei) = rush.drainer, crowd(2)
    number = rush.submit(lin)
    clock.advance(seconds=7)
    other = rush.another("other")
    rush.turn(other)
    assert rush.status(lin, number)["state"] == "held"
    second = rush.submit(wei)
    sleeper._beat_at = float("inf")  # it wakes up in the middle of its round
    assert sleeper.once() == 0
    assert rush.tier.pk not in sleeper.lanes
    assert rush.status(wei, second)["state"] == "queued"
    rush.turn(other)
    assert rush.status(wei, second)["state"] == "held"


def test_a_late_word_of_a_lost_drainer_is_not_published(rush, crowd):
    (lin,) = crowd(1)
    number = rush.submit(lin)
    fence = rush.drainer.lanes[rush.tier.pk].fence
    fast.store().set(keys.fence(rush.tier.pk), fence + 1)
    rush.drainer._beat_at = float("inf")
    rush.drainer.once()
    assert rush.status(lin, number)["state"] == "queued"
    assert rush.tier.pk not in rush.drainer.lanes


def test_two_drainers_share_the_tiers_and_never_one(rush, clock):
    other = rush.another("other")
    rush.turn(other)
    assert not other.lanes
    rush.drainer.leave()
    rush.turn(other)
    assert set(other.lanes) == set(rush.show.tiers.values_list("pk", flat=True))
    with transaction.atomic(), pytest.raises(lanes.LaneLost):
        lanes.keep(rush.tier.pk, fence=1, now=clock())


def test_doubled_messages_make_one_order(rush, crowd):
    (lin,) = crowd(1, cash=100_000)
    number = rush.submit(lin, 2)
    stream = keys.orders(rush.tier.pk)
    (_, fields) = fast.store().xrange(stream)[0]
    for _ in range(3):
        fast.store().xadd(stream, fields)
    rush.turn()
    fast.store().xadd(stream, fields)
    rush.turn()
    told = rush.status(lin, number)
    assert (told["state"], Order.objects.count(), Seat.objects.filter(state="H").count()) == ("held", 1, 2)
    presses = keys.presses(rush.tier.pk)
    rush.press(lin, number, told["payment_token"])
    (_, fields) = fast.store().xrange(presses)[0]
    for _ in range(2):
        fast.store().xadd(presses, fields)
    rush.turn()
    fast.store().xadd(presses, fields)
    rush.turn()
    assert Ticket.objects.count() == 2
    assert json.loads(fast.store().get(keys.payment(rush.tier.pk, number)))["state"] == "paid"


def test_messages_nobody_can_read_hold_nobody_up(rush, crowd):
    lin, wei = crowd(2)
    stream = keys.orders(rush.tier.pk)
    fast.store().xadd(stream, {"rubbish": "1"})
    first = rush.submit(lin)
    at_ms = str(int(rush.clock.now.timestamp() * 1000))
    ghost = {"n": "K1M7VHRXGG8CZH9ZW9X5", "b": "999999", "q": "1", "k": "x", "s": "", "e": "0", "t": at_ms}
    fast.store().xadd(stream, ghost)
    second = rush.submit(wei)
    rush.turn()
    assert [rush.status(one, n)["state"] for one, n in ((lin, first), (wei, second))] == ["held", "held"]
    ghost = json.loads(fast.store().get(keys.result(rush.tier.pk, "K1M7VHRXGG8CZH9ZW9X5")))
    assert (ghost["state"], ghost["reason"]) == ("refused", "not_eligible")


def test_a_wiped_store_loses_no_order_and_gives_no_second_one(rush, crowd):
    lin, wei = crowd(2, cash=100_000)
    decided = rush.submit(lin, 2, key="lin")
    rush.turn()
    lost = rush.submit(wei, 2, key="wei")
    fast.store().flushdb()
    # What Postgres knows is said; what was lost is unknown, and the client submits again with the same key.
    assert rush.status(lin, decided) == {"state": "held", "order": decided}
    assert rush.status(wei, lost) == {"state": "unknown"}
    with pytest.raises(Exception, match="cold"):
        rush.submit(wei, 2, key="wei")
    rush.turn()
    again, anew = rush.submit(wei, 2, key="wei"), rush.submit(lin, 2, key="lin")
    rush.turn()
    assert rush.status(wei, again)["state"] == "held"
    told = rush.status(lin, anew)
    assert (told["state"], told["order"]) == ("held", decided)
    assert Order.objects.count() == 2
    for wish in ({"quantity": 1}, {"seats": [Seat.objects.filter(tier=rush.tier, state="F").last().pk]}):
        fast.store().delete(*fast.store().keys("rush:*:key:*"))
        other = rush.submit(lin, key="lin", **wish)  # the key is known to Postgres, and for something else
        rush.turn()
        assert rush.status(lin, other)["reason"] == "key_reused"
    assert Order.objects.count() == 2
    assert rush.press(lin, told["order"], told["payment_token"])[0] == "queued"
    rush.turn()
    assert Ticket.objects.count() == 2


def test_the_order_of_acceptance_is_the_order_of_the_seats(rush, crowd):
    """Per tier: ids, and with single seats of one row the places too."""
    people = crowd(100)
    given = [rush.submit(person) for person in people]
    rush.turn()
    assert list(Order.objects.order_by("pk").values_list("number", flat=True)) == given


def test_expired_holds_come_back_while_sales_go_on(rush, crowd, clock):
    from ticketing import expiry

    people = crowd(101, cash=400_000)
    for person in people[:100]:
        rush.submit(person, 4)
    rush.turn()
    free = Seat.objects.filter(tier=rush.tier, state="F").count()
    clock.advance(seconds=int(timedelta(minutes=15).total_seconds()) + 1)
    while expiry.expire_due(now=clock()):
        rush.turn()
    back = int(fast.store().hget(keys.sale(rush.tier.pk), "free"))
    assert (back, free) == (Seat.objects.filter(tier=rush.tier).count(), back - 400)
    assert rush.held(people[100], 4)["seats"]


def test_a_store_that_is_wrong_is_put_right_by_the_command(rush, crowd, clock, monkeypatch, capsys):
    from django.core.management import call_command

    from ticketing.management.commands import rebuild_fast

    monkeypatch.setattr(rebuild_fast.timezone, "now", clock)
    (lin,) = crowd(1)
    total = Seat.objects.filter(tier=rush.tier).count()
    fast.store().hset(keys.sale(rush.tier.pk), mapping={"free": 3, "queued": 99})
    call_command("rebuild_fast", "--show", "small")
    rush.turn()
    assert fast.store().hmget(keys.sale(rush.tier.pk), "free", "queued") == [str(total), "0"]
    assert rush.held(lin, 4)
    rush.drainer.leave()
    fast.store().flushdb()
    call_command("rebuild_fast", "--show", "small")
    assert fast.store().hget(keys.sale(rush.tier.pk), "free") == str(total - 4)
    assert "no drainer has it" in capsys.readouterr().out
