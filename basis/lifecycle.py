"""
State machines: one table of allowed moves per kind of thing, compare-and-set in the database, an event row per move.

A `Lifecycle` belongs to one model with a `state` column and one append-only event model. Nothing else in the product
may write a `state` column; set-based steps (a batch of orders expiring at once) use `move_all`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models


class IllegalMove(Exception):
    """The table has no such move. It is a defect of the caller, never a user's mistake."""


class StaleState(Exception):
    """Somebody else moved the thing since it was read; nothing was changed."""


@dataclass(frozen=True)
class Lifecycle:
    """`moves` maps each state to the states it may go to; `event` is the model that keeps the history."""

    name: str
    moves: Mapping[str, frozenset[str]]
    event: type[models.Model]
    subject: str

    def allows(self, source: str, to: str) -> bool:
        return to in self.moves.get(source, frozenset())

    def final(self, state: str) -> bool:
        return not self.moves[state]

    def sources_of(self, to: str) -> list[str]:
        return [source for source, targets in self.moves.items() if to in targets]

    def begin(self, thing: Any, *, at: datetime, reason: str, actor: str = "", **facts: Any) -> None:
        """Write the first event of a thing that was just created."""
        self._record([(thing.pk, "", thing.state)], at=at, reason=reason, actor=actor, facts=facts)

    def begin_all(self, things: Iterable[Any], *, at: datetime, reason: str, actor: str = "") -> None:
        """Write the first events of many things that were just created, in one statement."""
        rows = [(thing.pk, "", thing.state) for thing in things]
        self._record(rows, at=at, reason=reason, actor=actor, facts={})

    def move(
        self,
        thing: Any,
        *,
        to: str,
        at: datetime,
        reason: str,
        actor: str = "",
        facts: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """
        Move `thing` to the state `to`, set `changes` in the same statement and write the event.

        :raises IllegalMove: the table does not allow it
        :raises StaleState: the row is no longer in the state that `thing` was read in
        """
        source = thing.state
        if not self.allows(source, to):
            raise IllegalMove(f"{self.name} {thing.pk}: {source} -> {to}")
        rows = type(thing)._default_manager.filter(pk=thing.pk, state=source).update(state=to, **changes)
        if rows != 1:
            raise StaleState(f"{self.name} {thing.pk} is no longer {source}")
        thing.state = to
        for name, value in changes.items():
            setattr(thing, name, value)
        self._record([(thing.pk, source, to)], at=at, reason=reason, actor=actor, facts=facts or {})

    def move_all(
        self, things: Iterable[Any], *, to: str, at: datetime, reason: str, actor: str = "", **changes: Any
    ) -> list[Any]:
        """
        Move many things that the caller holds locked, in one statement each for rows and events; answer the moved.

        :raises IllegalMove: one of them may not; nothing is moved
        :raises StaleState: one of them changed although it was locked; the caller's transaction must roll back
        """
        things = list(things)
        if not things:
            return []
        for thing in things:
            if not self.allows(thing.state, to):
                raise IllegalMove(f"{self.name} {thing.pk}: {thing.state} -> {to}")
        by_source: dict[str, list[Any]] = {}
        for thing in things:
            by_source.setdefault(thing.state, []).append(thing)
        for source, group in by_source.items():
            keys = [thing.pk for thing in group]
            rows = (
                type(group[0])._default_manager.filter(pk__in=keys, state=source).update(state=to, **changes)
            )
            if rows != len(keys):
                raise StaleState(f"{self.name}: {len(keys) - rows} of {len(keys)} are no longer {source}")
        self._record([(t.pk, t.state, to) for t in things], at=at, reason=reason, actor=actor, facts={})
        for thing in things:
            thing.state = to
        return things

    def _record(
        self,
        rows: list[tuple[Any, str, str]],
        *,
        at: datetime,
        reason: str,
        actor: str,
        facts: Mapping[str, Any],
    ) -> None:
        self.event._default_manager.bulk_create(
            self.event(
                **{f"{self.subject}_id": key},
                from_state=source,
                to_state=to,
                at=at,
                reason=reason,
                actor=actor,
                facts=dict(facts),
            )
            for key, source, to in rows
        )


def moves(table: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Freeze a table of moves and check that every target is itself a state."""
    frozen = {source: frozenset(targets) for source, targets in table.items()}
    unknown = {to for targets in frozen.values() for to in targets} - set(frozen)
    if unknown:
        raise ValueError(f"states without a row in the table: {sorted(unknown)}")
    return frozen


class LifecycleEvent(models.Model):
    """One line of a thing's history. Append-only: a database trigger refuses to change or delete it."""

    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    at = models.DateTimeField()
    reason = models.CharField(max_length=64)
    actor = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(default=dict, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.from_state or '∅'} → {self.to_state} ({self.reason})"
