"""A drainer that the test turns by hand, and buyers who submit and press."""

from __future__ import annotations

import itertools

import pytest

from ticketing.models import PriceTier
from ticketing.rush import keys, submission
from ticketing.rush.drainer import Drainer
from ticketing.rush.results import script


class Rush:
    """One tier of the small hall under a drainer; the times are the test's."""

    def __init__(self, show, clock, tier="UPPER"):
        self.show, self.clock = show, clock
        self.tier = PriceTier.objects.get(show=show, code=tier)
        self.drainer = self.another("one")
        self._serial = itertools.count(1)

    def another(self, worker):
        return Drainer(worker=worker, clock=self.clock)

    def warm(self):
        """Have the drainer take the lanes and load their sales."""
        self.turn()
        return self

    def turn(self, drainer=None):
        """Let a drainer do everything there is to do."""
        drainer = drainer or self.drainer
        drainer._beat_at = float("-inf")
        while drainer.once():
            pass

    def submit(self, buyer, quantity=1, *, key="", seats=(), **more):
        return submission.submit(
            tier_id=self.tier.pk,
            buyer_id=buyer.pk,
            client_key=key or f"k{next(self._serial)}",
            quantity=quantity,
            seat_ids=seats,
            now=self.clock(),
            **more,
        )

    def status(self, buyer, number):
        return submission.status(self.tier.pk, number, buyer_id=buyer.pk)

    def press(self, buyer, order, token):
        return script("pay").run(
            keys=[
                keys.presses(self.tier.pk),
                keys.payment(self.tier.pk, order),
                keys.sale(self.tier.pk),
            ],
            args=[order, buyer.pk, token, int(self.clock().timestamp() * 1000)],
        )

    def held(self, buyer, quantity=1, **more):
        """Submit, drain, and answer the status, which must be `held`."""
        number = self.submit(buyer, quantity, **more)
        self.turn()
        told = self.status(buyer, number)
        assert told["state"] == "held", told
        return told


@pytest.fixture
def rush(transactional_db, audited, show, clock):
    return Rush(show, clock).warm()


@pytest.fixture
def audited(clock):
    """The invariants hold when the test is over."""
    yield
    from operations import audit

    wrong = [
        (result.check.name, list(result.violations)) for result in audit.audit(now=clock.now) if not result.ok
    ]
    assert not wrong


@pytest.fixture
def crowd(transactional_db, clock):
    """`crowd(400, cash=100_000)`: many buyers at once."""
    from accounts.models import User
    from operations.seeding import seed_buyers

    def make(count, cash=0):
        ids = seed_buyers(count, cash, now=clock())
        return [User(pk=pk) for pk in ids]

    return make
