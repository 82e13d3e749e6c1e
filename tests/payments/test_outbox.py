"""The outbox: what is put is done, once it is due, whatever happens to who does it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from payments import outbox
from payments.models import OutboxMessage

KIND = "test.work"


@pytest.fixture
def work(db):
    """A handler that notes its calls and does what `answers` says: a value, or an exception to raise."""
    calls, answers = [], []

    def handle(payload, *, attempt, now):
        calls.append(payload["n"])
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    outbox._handlers[KIND] = handle
    yield calls, answers
    del outbox._handlers[KIND]


def put(clock, n=1, **later):
    now = clock()
    outbox.put(KIND, key=f"w:{n}", payload={"n": n}, due_at=now + timedelta(**later), now=now)


def drain(clock):
    return outbox.drain(clock=clock, lane=outbox.COMPENSATE)


def test_a_message_is_handled_once_when_it_is_due(work, clock):
    put(clock, seconds=5)
    assert drain(clock) == 0
    clock.advance(seconds=6)
    assert (drain(clock), drain(clock)) == (1, 0)
    assert work[0] == [1]


def test_the_same_key_is_one_message(work, clock):
    put(clock)
    put(clock)
    assert drain(clock) == 1


def test_a_handler_that_fails_is_tried_again_and_its_error_is_kept(work, clock):
    work[1].append(RuntimeError("the channel is on fire"))
    put(clock)
    drain(clock)
    assert "on fire" in OutboxMessage.objects.get().last_error
    clock.advance(seconds=30)
    drain(clock)
    assert work[0] == [1, 1]
    assert OutboxMessage.objects.get().done_at is not None


def test_a_handler_may_ask_to_be_called_again(work, clock):
    put(clock)
    work[1].append(clock.now + timedelta(seconds=10))
    drain(clock)
    assert drain(clock) == 0
    clock.advance(seconds=11)
    assert drain(clock) == 1


def test_a_lease_of_a_dead_drainer_runs_out(work, clock):
    put(clock)
    outbox._claim(now=clock(), lane=outbox.COMPENSATE, limit=10)  # and dies
    assert drain(clock) == 0
    clock.advance(seconds=settings.OUTBOX_LEASE.total_seconds() + 1)
    assert drain(clock) == 1


def test_hastened_while_it_is_handled_means_handled_again(work, clock):
    def handle(payload, *, attempt, now):
        work[0].append(payload["n"])
        if len(work[0]) == 1:
            outbox.hasten(["w:1"], now=clock())

    outbox._handlers[KIND] = handle
    put(clock)
    drain(clock)
    drain(clock)
    assert work[0] == [1, 1]


def test_lanes_do_not_take_each_others_work(work, clock):
    put(clock)
    assert outbox.drain(clock=clock, lane=outbox.NOTIFY) == 0


def test_what_was_done_long_ago_is_forgotten_and_nothing_else(work, clock):
    put(clock, n=1)
    drain(clock)
    put(clock, n=2)
    clock.advance(days=8)
    assert outbox.forget_done(older_than=timedelta(days=7), now=clock(), batch=1) == 1
    assert OutboxMessage.objects.get().payload == {"n": 2}
