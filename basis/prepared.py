"""
Statements that every order asks, prepared: Postgres parses and plans them once a connection instead of each time, and
the values travel beside the text.

Elsewhere Django writes values into the text, which suits statements that differ, and lists of values whose length
decides how Postgres should go about them. A statement that goes through here says the type of a value by a cast
wherever its place does not, for values come without one: `%s::bigint[]`, `= ANY(%s::text[])`, never `IN %s`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper

Values = Sequence[Any] | Mapping[str, Any]


class PreparedCursor(psycopg.Cursor[Any]):
    """Prepares at the first execution; psycopg keeps the last hundred statements of a connection."""

    def execute(self, query: Any, params: Values | None = None, **_how: Any) -> Any:
        if isinstance(params, Mapping):
            params = {name: _untyped(value) for name, value in params.items()}
        elif params is not None:
            params = [_untyped(value) for value in params]
        return super().execute(query, params, prepare=True)

    def _convert_query(self, query: Any, params: Any = None) -> Any:
        """Remembered, for Django's log of queries asks for it; psycopg forgets it where a statement is prepared."""
        self._query = super()._convert_query(query, params)
        return self._query


def _untyped(value: Any) -> Any:
    """psycopg gives a whole number the least type that holds it, and each type would be a statement of its own."""
    return int.__repr__(value) if isinstance(value, int) and not isinstance(value, bool) else value


def cursor(*, wanted: bool = True) -> CursorWrapper:
    """
    `connection.cursor()` for a prepared statement: `with prepared.cursor() as cursor`. It is the ordinary one where the
    caller knows better, and where a pooler between us and Postgres keeps no statements (`DATABASE_PREPARED=0`).
    """
    if not wanted or not settings.DATABASE_PREPARED:
        return connection.cursor()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        plain = PreparedCursor(connection.connection)
        wrapped: CursorWrapper = connection._prepare_cursor(plain)  # type: ignore[attr-defined]
        return wrapped


def rows(statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """What the statement answers."""
    with cursor() as asked:
        asked.execute(statement, values)
        return list(asked.fetchall())


def row(statement: str, values: Values = ()) -> tuple[Any, ...] | None:
    """The first row of the answer; None if it has none."""
    with cursor() as asked:
        asked.execute(statement, values)
        found: tuple[Any, ...] | None = asked.fetchone()
        return found
