"""Postgres: is it there, is its clock ours, does it keep what it acknowledges, is its ledger's horizon sane?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from operations.doctor.findings import Finding, failure, judged, warning, well

SLOW_MS = 20
SKEW_WARNING_S, SKEW_FAILURE_S = 1.0, 5.0
VERSION_AT_LEAST = 140_000
"""Django's own floor; pg_current_xact_id, on which folding rests, came before it."""
XID_AGE_WARNING = 1_000_000_000


def reachable() -> Iterator[Finding]:
    """Reachability, latency and clock. Raises DatabaseError if Postgres is away."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the connection itself is not part of the latency
        began, before = time.perf_counter(), datetime.now(UTC)
        cursor.execute("SELECT clock_timestamp(), current_setting('server_version_num')::int, version()")
        there, number, version = cursor.fetchone()
    took = time.perf_counter() - began
    yield judged(
        "postgres",
        f"{version.split(' on ')[0]}, answers in {took * 1000:.1f} ms",
        f"Postgres {VERSION_AT_LEAST // 10_000} or newer is needed"
        if number < VERSION_AT_LEAST
        else "every step of an order waits this long several times: put the database nearer",
        bad=took * 1000 > SLOW_MS,
        worse=number < VERSION_AT_LEAST,
    )
    yield skew("postgres clock", there, before, took)


def skew(what: str, there: datetime, before: datetime, took: float) -> Finding:
    """Compare a server's clock, read in the middle of `took` seconds after `before`, with ours."""
    off = (there - before).total_seconds() - took / 2
    return judged(
        what,
        f"{off:+.3f} s from ours",
        "run one time service on all machines: holds, tokens and signatures end by the clock",
        bad=abs(off) > SKEW_WARNING_S,
        worse=abs(off) > SKEW_FAILURE_S,
    )


def durability() -> Iterator[Finding]:
    """A sale that Postgres has acknowledged and forgotten is money without an order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
            [["fsync", "full_page_writes", "synchronous_commit"]],
        )
        kept = dict(cursor.fetchall())
    off = sorted(name for name, value in kept.items() if value == "off")
    if not off:
        yield well("durability", "fsync, full_page_writes and synchronous_commit are on")
    else:
        do = f"set {', '.join(off)} to on: a power cut now loses money that was taken"
        found = f"{', '.join(off)} off"
        yield judged("durability", found, do, bad=True, worse=settings.PRODUCTION)


def capacity() -> Iterator[Finding]:
    """Connections against pools, and how far the transaction ids are from their end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend'), (SELECT max(age(datfrozenxid)) FROM pg_database)"
        )
        most, used, age = cursor.fetchone()
    pool = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    yield judged(
        "connections",
        f"{used} of {most} in use, a pool holds up to {pool}",
        "raise max_connections, lower DATABASE_POOL_MAX, or put a pooler between",
        bad=used + pool > most,
        worse=used >= most - 3,
    )
    yield judged(
        "transaction ids",
        f"the oldest is {age:,} old",
        "let autovacuum freeze: see its log, and end what keeps transactions open",
        bad=age > XID_AGE_WARNING,
    )


def migrations() -> Iterator[Finding]:
    # Not the executor's plan: where the newest one is applied, that is empty whatever is missing before it.
    loader = MigrationLoader(connection)
    pending = sorted(loader.graph.nodes.keys() - loader.applied_migrations.keys())
    if pending:
        names = ", ".join(".".join(key) for key in pending[:5])
        yield failure("migrations", f"{len(pending)} are not applied: {names}", "run manage.py migrate")
    else:
        yield well("migrations", "all applied")


def ledger_horizon() -> Iterator[Finding]:
    """
    Folds know transactions by their ids (wallet.folding). A restore into a new cluster starts ids anew, and a fold
    from the old one would hide every posting until the new ids have caught up.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " (SELECT max(before_txid) FROM wallet_accountfold), (SELECT max(txid) FROM wallet_posting)"
        )
        horizon, fold, posting = cursor.fetchone()
    if fold is not None and fold > horizon:
        yield failure(
            "ledger horizon",
            f"a fold ends before transaction {fold}, the cluster is only at {horizon}: balances are wrong",
            'the database was restored into a new cluster: run manage.py shell -c "from wallet import folding;'
            ' folding.unfold()" before anything is sold',
        )
    elif posting is not None and posting > horizon:
        yield warning(
            "ledger horizon",
            f"postings up to transaction {posting}, the cluster is only at {horizon}",
            "restored into a new cluster; balances are right, folding waits until the ids have caught up",
        )
    else:
        yield well("ledger horizon", f"transaction {horizon}, folded before {fold or 'nothing'}")
