"""Memory of the whole stack while the rush is on: read from the run that measures `rush`."""

from __future__ import annotations

from benchmarks.figures import Figure, benchmark
from benchmarks.of_rush import rush

BAR_MIB = 2048


@benchmark("stack_memory", run="rush")
def stack_memory() -> Figure:
    """
    The most that nginx, drainer, web, worker, beat, sandbox, Postgres and Valkey held together at any moment, what they
    share counted once. Flat: how much more it was at the end than in the middle.
    """
    samples = rush().facts["memory_mib"]
    facts = {"samples": samples, "grown_since_the_middle": samples[-1] - samples[len(samples) // 2]}
    return Figure("stack_memory", max(samples), "MiB", bar=BAR_MIB, facts=facts)
