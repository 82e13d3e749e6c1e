"""
Lists of values for `unnest(%s::text[])`, written quickly: hundreds of rows go to Postgres as columns, and psycopg's own
way of writing an array looks at every element several times.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper


class Column(list[Any]):
    """Texts or whole numbers, none of them NULL; the statement says which by its cast."""


def texts(values: Iterable[str]) -> Column:
    return Column(values)


def wholes(values: Iterable[int]) -> Column:
    return Column(values)


class ColumnDumper(Dumper):
    """
    An array literal.

    :raises TypeError: an element is neither a text nor a whole number
    """

    def dump(self, obj: Column) -> Buffer:
        if not obj or isinstance(obj[0], int):
            return f"{{{','.join(map(int.__repr__, obj))}}}".encode()
        if any('"' in value or "\\" in value for value in obj):
            obj = Column(value.replace("\\", "\\\\").replace('"', '\\"') for value in obj)
        return ('{"' + '","'.join(obj) + '"}').encode()


def register() -> None:
    """Teach psycopg; called once, when the application starts."""
    psycopg.adapters.register_dumper(Column, ColumnDumper)
