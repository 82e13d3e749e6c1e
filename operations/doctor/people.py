"""Personal data at rest: can it still be read? A key dropped too early shows only when somebody is looked for."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection
from django.db.models import Model

from accounts.rotation import sealed_columns
from basis.sealed import SealedTextField, listed_keys
from operations.doctor.findings import Finding, failure, warning, well

LOOKED_AT = 2_000
"""The oldest and the newest rows of each column: a rotation that was cut off leaves one of the two behind."""


def sealed() -> Iterator[Finding]:
    """By the names of the keys that stand in front of what they sealed; nothing is opened."""
    newest, *older = listed_keys()
    used = {key for model, names in sealed_columns() for name in names for key in _keys(model, name)}
    if gone := used - {newest, *older}:
        yield failure(
            "personal data",
            f"sealed with {len(gone)} keys that KAIPIAO_DATA_KEYS does not list: it cannot be read",
            "list the old key again, second; then run manage.py reseal_people",
        )
    elif used - {newest}:
        yield warning(
            "personal data",
            "some of it is still sealed with an older key",
            "run manage.py reseal_people before that key is dropped",
        )
    else:
        yield well("personal data", "everything looked at is sealed with the newest key")


def _keys(model: type[Model], name: str) -> set[str]:
    field = model._meta.get_field(name)
    if not isinstance(field, SealedTextField):
        return set()
    table, column = model._meta.db_table, field.column
    ends = " UNION ALL ".join(
        f"(SELECT {column} AS token FROM {table} WHERE {column} IS NOT NULL ORDER BY id {way} LIMIT {LOOKED_AT})"  # noqa: S608 (names of our own models)
        for way in ("ASC", "DESC")
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT split_part(token, '.', 2) FROM ({ends}) ends")  # noqa: S608
        return {row[0] for row in cursor.fetchall()}
