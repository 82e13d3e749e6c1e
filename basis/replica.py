"""
Reads that decide nothing may ask a replica of Postgres: what people look at while a sale is on. Everything else, and
all money, asks the primary.

A function asks the replica only if it says so with `@looks`, and only where `DATABASE_REPLICA_URL` names one. Whatever
it shows may be as old as the replica lags. While the replica does not answer, the primary is asked. Which modules may
say so is a contract of import-linter, so that none that decides ever does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

log = logging.getLogger(__name__)

PRIMARY, REPLICA = DEFAULT_DB_ALIAS, "replica"
AWAY_S = 5.0
"""A replica that did not answer is not asked for this long."""

_asked: ContextVar[str] = ContextVar("database that looks are asked of", default=PRIMARY)
_away_until = 0.0  # by the monotonic clock

Args = ParamSpec("Args")
Found = TypeVar("Found")


class Decides(Exception):
    """Something that only looks has tried to write."""


def looks(look: Callable[Args, Found]) -> Callable[Args, Found]:
    """
    Ask the replica for every read in `look`, which decides nothing and evaluates what it answers: a queryset that is
    evaluated later asks the primary. It may be called twice, for the primary is asked when the replica is away.
    """

    @wraps(look)
    def looking(*args: Args.args, **kwargs: Args.kwargs) -> Found:
        global _away_until  # noqa: PLW0603 - one replica a process
        if REPLICA not in connections or time.monotonic() < _away_until:
            return look(*args, **kwargs)
        token = _asked.set(REPLICA)
        try:
            return look(*args, **kwargs)
        except (OperationalError, InterfaceError):
            _away_until = time.monotonic() + AWAY_S
            log.warning("replica.away", exc_info=True)
            # Else a process that serves no requests would find this one broken for ever.
            connections[REPLICA].close()
        finally:
            _asked.reset(token)
        return look(*args, **kwargs)

    return looking


def connection() -> BaseDatabaseWrapper:
    """The connection for plain SQL in a function that `looks`; everywhere else the primary's."""
    return connections[_asked.get()]


class Router:
    """
    Where Django asks. It never follows the database that an object was read from: an event that was looked at on the
    replica is no reason to decide there.
    """

    def db_for_read(self, model: type, **hints: Any) -> str:
        return _asked.get()

    def db_for_write(self, model: type, **hints: Any) -> str:
        if _asked.get() != PRIMARY:
            raise Decides(model)
        return PRIMARY

    def allow_relation(self, one: object, other: object, **hints: Any) -> bool:
        """Both databases hold the same rows."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == PRIMARY
