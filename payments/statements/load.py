"""
A statement is loaded in one transaction, a row at a time: read, counted and copied to Postgres as it streams by. When
anything in the file is wrong, nothing of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from typing import Any, BinaryIO

from django.db import connection, transaction

from payments.statement_models import Statement, StatementLine, StatementSource
from payments.statements import formats, halves, keep
from payments.statements.parts import Parts
from payments.statements.shape import Expected, Line, Refused

COLUMNS = (
    "statement_id, line_no, channel, day, kind, number, payment_number, reference, amount_minor, fee_milli, "
    "currency, status, happened_at, discount_minor"
)
COPY = f"COPY {StatementLine._meta.db_table} ({COLUMNS}) FROM STDIN"
ROWS_A_WRITE = 500
CURRENCY = "CNY"
# A load may take longer than any statement of a buyer's request.
LOAD_TIMEOUT = "15min"
# The lock that two loads of the same channel, kind and day share.
ONE_LOADER = "SELECT pg_try_advisory_xact_lock(hashtextextended('statement:' || %s, 0))"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which statement is asked for. An empty channel or kind is told by the file; `merchants` are ours, by channel."""

    day: date
    channel: str = ""
    kind: str = ""
    merchants: Mapping[str, str] = field(default_factory=dict)


def load(
    file: BinaryIO,
    *,
    wanted: Wanted,
    source: StatementSource,
    now: datetime,
    by: str = "",
    replace: bool = False,
    told: Callable[[int], None] = lambda _rows: None,
) -> Statement:
    """
    Load a statement, all of it or nothing. `replace` says that it takes the place of one loaded before; a half of a day
    joins the other half, which it leaves as it is. `told` hears how many rows are read, now and then.

    :raises Refused: the file is damaged, foreign, of another day or merchant, or loaded already
    """
    form, texts = formats.find(file)
    if (wanted.channel or form.channel, wanted.kind or form.kind) != (form.channel, form.kind):
        raise Refused(1, "other_statement", f"{form.channel} {form.kind}")
    sha256 = keep.digest(file)
    statement = Statement(
        channel=form.channel,
        kind=form.kind,
        day=wanted.day,
        currency=form.currency,
        sha256=sha256,
        source=source,
        loaded_at=now,
        uploaded_by=by,
    )
    parts = Parts(form, texts, Expected(day=wanted.day, merchant=wanted.merchants.get(form.channel, "")))
    with transaction.atomic():
        older = _claim(statement)
        lines = parts.lines()
        begun = chain(filter(None, [next(lines, None)]), lines)  # what it covers is known with its first line
        halves.refuse_what_is_known(older, covers=parts.covers, replace=replace)
        statement.lines, statement.totals = _copy(statement, parts, begun, told)
        halves.join(statement, older)
        statement.file.name = keep.keep(
            file, channel=form.channel, kind=form.kind, day=wanted.day, sha256=sha256
        )
        _enter(statement, older)
    return statement


def load_nothing(*, wanted: Wanted, now: datetime) -> Statement:
    """
    The channel says that nothing happened on that day: a statement without a file and without lines.

    :raises Refused: there is a statement of that day
    """
    statement = Statement(
        channel=wanted.channel,
        kind=wanted.kind,
        day=wanted.day,
        currency=CURRENCY,
        source=StatementSource.FETCHED,
        loaded_at=now,
        lines=0,
        totals={"covers": [*halves.BOTH]},
    )
    with transaction.atomic():
        halves.refuse_what_is_known(_claim(statement), covers=halves.BOTH, replace=False)
        _enter(statement, None)
    return statement


def current(*, channel: str, kind: str, day: date) -> Statement | None:
    """The statement that counts."""
    return Statement.objects.filter(channel=channel, kind=kind, day=day, replaced_by=None).first()


def _claim(statement: Statement) -> Statement | None:
    """Keep other loaders of this statement out, give it its number, and answer the one that counts so far."""
    with connection.cursor() as cursor:
        # The session's own limits are for buyers; these end with the transaction.
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [LOAD_TIMEOUT])
        cursor.execute(ONE_LOADER, [str(statement)])
        if not cursor.fetchone()[0]:
            raise Refused(0, "being_loaded")
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [Statement._meta.db_table])
        statement.pk = cursor.fetchone()[0]
    known = Statement.objects.filter(channel=statement.channel, kind=statement.kind, day=statement.day)
    if known.filter(sha256=statement.sha256).exists():
        raise Refused(0, "doubled")
    return known.filter(replaced_by=None).first()


def _enter(statement: Statement, older: Statement | None) -> None:
    if older is not None:
        # Before the newer one is there, so that at most one counts at any time; the reference is checked at commit.
        Statement.objects.filter(pk=older.pk).update(replaced_by_id=statement.pk)
    statement.save(force_insert=True)


def _copy(
    statement: Statement, parts: Parts, lines: Iterator[Line], told: Callable[[int], None]
) -> tuple[int, dict[str, Any]]:
    """Stream the lines to Postgres; their number and totals."""
    before = f"{statement.pk}\t"
    about = f"\t{statement.channel}\t{statement.day.isoformat()}\t"
    sums: dict[str, list[int]] = {}
    rows: list[str] = []
    written = 0
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for no, kind, number, payment, reference, minor, fee, currency, status, at, discount in lines:
            # No cell can hold a tab or a backslash: payments.statements.cells has seen to it.
            rows.append(
                f"{before}{no}{about}{kind}\t{number}\t{payment}\t{reference}\t{minor}\t{fee}\t{currency}\t"
                f"{status}\t{at}+08\t{discount}\n"
            )
            sum_ = sums.get(kind) or sums.setdefault(kind, [0, 0, 0])
            sum_[0] += 1
            sum_[1] += minor
            sum_[2] += fee
            if len(rows) == ROWS_A_WRITE:
                copy.write("".join(rows))
                written += ROWS_A_WRITE
                rows.clear()
                told(written)
        copy.write("".join(rows))
        written += len(rows)
    return written, _totals(sums, parts)


def _totals(sums: dict[str, list[int]], parts: Parts) -> dict[str, Any]:
    by_kind = {
        kind: {"count": count, "amount_minor": minor, "fee_milli": fee}
        for kind, (count, minor, fee) in sums.items()
    }
    return {**by_kind, "covers": parts.covers, "refunds_by": parts.refunds_by, "told": parts.told}
