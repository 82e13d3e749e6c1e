"""
Is everything in place to sell? Versions, Postgres, the promises of the migrations, Redis, beat, workers, channels,
settings, disks. Nothing is changed and nothing is sent to a channel. See docs/doctor.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django.db import DatabaseError

from operations.doctor import channels, database, people, program, promises, surroundings
from operations.doctor.findings import Finding, Level, failure, warning

__all__ = ["Finding", "Level", "examine"]

ALONE: tuple[Callable[[], Iterable[Finding]], ...] = (
    program.versions,
    program.dangerous_settings,
    program.system_checks,
    channels.credentials,
    surroundings.disks,
)
WITH_REDIS: tuple[Callable[[], Iterable[Finding]], ...] = (surroundings.beat, surroundings.workers)


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is known. A part that is away is one failure, not the end."""
    for look in ALONE:
        yield from look()
    yield from _postgres()
    found = list(surroundings.redis())
    yield from found
    if any(finding.level == Level.FAILURE for finding in found):
        yield warning("beat and workers", "cannot be told without redis", "see redis")
        return
    for look in WITH_REDIS:
        yield from look()


def _postgres() -> Iterator[Finding]:
    try:
        yield from database.reachable()
    except DatabaseError as error:
        first = str(error).strip().partition("\n")[0]
        yield failure("postgres", f"away: {first}", "start it or correct DATABASE_URL; nothing can be sold")
        return
    yield from database.durability()
    yield from database.capacity()
    found = list(database.migrations())
    yield from found
    if any(finding.level == Level.FAILURE for finding in found):
        yield warning(
            "promises and ledger", "cannot be told before all migrations are applied", "see migrations"
        )
        return
    yield from promises.kept()
    yield from people.sealed()
    yield from database.ledger_horizon()
