"""
Everything that models and migrations promise of the database: constraints, indexes, triggers. A restore that left out
triggers, a hand that dropped a constraint, an index that was built half: all of it would show only when money is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL
from django.db.models import ForeignKey, Model

from operations.doctor.findings import Finding, failure, well

OURS = ("basis", "accounts", "wallet", "risk", "payments", "ticketing", "desk", "operations")

TRIGGERS = re.compile(r"\b(CREATE|DROP)\s+(?:OR REPLACE\s+)?TRIGGER\s+(?:IF EXISTS\s+)?(\w+)", re.IGNORECASE)
CONSTRAINTS = re.compile(r"\b(ADD|DROP)\s+CONSTRAINT\s+(?:IF EXISTS\s+)?(\w+)", re.IGNORECASE)


def kept() -> Iterator[Finding]:
    """One finding for each kind of promise."""
    triggers, written = by_hand()
    yield _missing(
        "triggers", triggers, _names("SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')")
    )
    constraints = _names("SELECT conname FROM pg_constraint WHERE convalidated")
    valid = "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid"
    indexes = _names(valid)
    promised = {constraint.name for model in models() for constraint in model._meta.constraints}
    # A unique constraint with a condition is an index to Postgres.
    yield _missing("constraints", promised | written, constraints | indexes)
    yield _missing("indexes", {index.name for model in models() for index in model._meta.indexes}, indexes)
    yield _missing("unique columns", _unique_columns(), _columns("p", "u"))
    yield _missing("foreign keys", _foreign_keys(), _columns("f"))


def models() -> list[type[Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in OURS and model._meta.managed]


def by_hand() -> tuple[set[str], set[str]]:
    """The triggers and constraints that migrations write in SQL of their own, less what later ones drop."""
    loader = MigrationLoader(None)
    triggers: set[str] = set()
    constraints: set[str] = set()
    nodes = [node for leaf in loader.graph.leaf_nodes() for node in loader.graph.forwards_plan(leaf)]
    for node in dict.fromkeys(nodes):
        for operation in loader.graph.nodes[node].operations if node[0] in OURS else ():
            if isinstance(operation, RunSQL):
                text = str(operation.sql)
                _apply(TRIGGERS, text, triggers)
                _apply(CONSTRAINTS, text, constraints)
    return triggers, constraints


def _apply(pattern: re.Pattern[str], text: str, promised: set[str]) -> None:
    for verb, name in pattern.findall(text):
        if verb.upper() == "DROP":
            promised.discard(name)
        else:
            promised.add(name)


def _unique_columns() -> set[str]:
    return {
        f"{model._meta.db_table}.{field.column}"
        for model in models()
        for field in model._meta.local_concrete_fields
        if field.unique
    }


def _foreign_keys() -> set[str]:
    return {
        f"{model._meta.db_table}.{field.column}"
        for model in models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, ForeignKey) and getattr(field, "db_constraint", True)
    }


def _columns(*kinds: str) -> set[str]:
    """`table.column` of every valid one-column constraint of these kinds."""
    return _names(
        "SELECT class.relname || '.' || attribute.attname FROM pg_constraint c"
        " JOIN pg_class class ON class.oid = c.conrelid"
        " JOIN pg_attribute attribute ON attribute.attrelid = c.conrelid AND attribute.attnum = c.conkey[1]"
        " WHERE c.convalidated AND cardinality(c.conkey) = 1 AND c.contype = ANY(%s)",
        list(kinds),
    )


def _names(statement: str, kinds: list[str] | None = None) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(statement, None if kinds is None else [kinds])
        return {row[0] for row in cursor.fetchall()}


def _missing(what: str, promised: set[str], there: set[str]) -> Finding:
    gone = sorted(promised - there)
    if not gone:
        return well(what, f"all {len(promised)} are there")
    return failure(
        what,
        f"{len(gone)} of {len(promised)} are missing, disabled or not valid: {', '.join(gone[:10])}",
        "restore them from the migration that makes them (manage.py sqlmigrate), then run manage.py audit",
    )
