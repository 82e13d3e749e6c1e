"""The sold house of 39,000 seats: how long it takes to write it, and to audit it."""

from __future__ import annotations

import time

from benchmarks import ground
from benchmarks.figures import Figure, benchmark


@benchmark("seed_39000")
def seed() -> Figure:
    house = ground.sold_house()
    return Figure("seed_39000", house.seconds, "s", facts={"seats": house.seats})


@benchmark("audit_39000")
def audit() -> Figure:
    """All seven invariants over the sold house; a violation ends the benchmark."""
    ground.sold_house()
    begun = time.perf_counter()
    wrong = ground.violations()
    seconds = time.perf_counter() - begun
    assert not wrong, wrong[:5]
    return Figure("audit_39000", seconds, "s", bar=10.0, facts={"seats": ground.SEATS})
