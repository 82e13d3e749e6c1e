"""
Which lock for taking seats: the same orders under seven kinds of lock and by a single writer in batches, with 1, 8 and
64 clients that all want the best two seats of one tier of 39,000. docs/locks.md has the table.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import ground
from benchmarks.figures import Figure, benchmark
from benchmarks.lock_scripts import METHODS, SLOW_MS, SLOW_ONE_IN, Method
from operations import devservices

CLIENTS, SLOW_CLIENTS = (1, 8, 64), 8
RUN_S = 3
BUYERS = 400
BATCHED, CEILING = "single writer in batches", METHODS[0].name
MISSING = "pgbench is in the wheel of the embedded Postgres and in Debian's postgresql-15"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one method did with so many clients: a try is lost when somebody else was faster."""

    method: str
    clients: int
    slow: bool
    orders_per_s: int
    p50_ms: float
    p99_ms: float
    lost_tries: int
    gave_up: int

    def __str__(self) -> str:
        lost = (
            f", {self.lost_tries} tries lost, {self.gave_up} gave up"
            if self.lost_tries or self.gave_up
            else ""
        )
        return f"{self.orders_per_s}/s, p50 {self.p50_ms:g} ms, p99 {self.p99_ms:g} ms{lost}"


@dataclass(frozen=True, slots=True)
class Stage:
    """The tier that everybody wants."""

    url: str
    show: int
    phase: int
    tier: int
    price: int
    buyers: Sequence[int]


@benchmark("locks")
def locks() -> Figure:
    """Orders a second by the single writer with 64 clients waiting; ceiling: clients who know their seats."""
    stage = _stage()
    cells = []
    with psycopg.connect(stage.url, autocommit=True) as connection:
        _lay_out(connection, stage)
        for clients, slow in [*((count, False) for count in CLIENTS), (SLOW_CLIENTS, True)]:
            for method in METHODS:
                cells.append(_by_clients(connection, stage, method, clients, slow=slow))
                _tell(cells[-1])
            cells.append(_by_one_writer(connection, stage, clients, slow=slow))
            _tell(cells[-1])
        _clear_up(connection, stage)
    [batched] = [c.orders_per_s for c in cells if c.method == BATCHED and c.clients == CLIENTS[-1]]
    known = max(cell.orders_per_s for cell in cells if cell.method == CEILING)
    facts: dict[str, Any] = {"run_s": RUN_S, "slow": f"one in {SLOW_ONE_IN} pauses {SLOW_MS} ms"}
    for cell in cells:
        name = f"{cell.clients} clients{' and slow holders' if cell.slow else ''}"
        facts.setdefault(cell.method, {})[name] = str(cell)
    return Figure("locks", batched, "orders/s", ceiling=known, facts=facts)


def _tell(cell: Cell) -> None:
    print(json.dumps(asdict(cell)), file=sys.stderr, flush=True)


# -- the stage
# ---------------------------------------------------------------------------------------------------------
def _stage() -> Stage:
    from django.utils import timezone

    from operations import seeding
    from ticketing.models import SalePhase, Seat

    show = seeding.seed_show(code="locks", now=timezone.now())
    buyers = seeding.seed_buyers(BUYERS, 0, now=timezone.now(), prefix="k")
    tier = show.tiers.get(rank=1)
    Seat.objects.filter(show=show).update(tier=tier)
    phase = SalePhase.objects.get(show=show, kind=SalePhase.Kind.GENERAL)
    url = devservices.database_url(ground.DATABASE)
    return Stage(url, show.pk, phase.pk, tier.pk, tier.price_minor, sorted(buyers))


def _lay_out(connection: psycopg.Connection[Any], stage: Stage) -> None:
    connection.execute(
        "CREATE TABLE bench_lock_version (tier_id bigint PRIMARY KEY, version bigint NOT NULL)"
    )
    connection.execute("INSERT INTO bench_lock_version VALUES (%s, 0)", [stage.tier])
    connection.execute("CREATE TABLE bench_lock_pair (n bigint PRIMARY KEY, a bigint, b bigint)")
    connection.execute("CREATE SEQUENCE bench_lock_next")
    connection.execute(
        """
        INSERT INTO bench_lock_pair SELECT row_number() OVER (ORDER BY row_rank, row_id, position), id, next
          FROM (SELECT *, lead(id) OVER (PARTITION BY row_id ORDER BY position) AS next FROM ticketing_seat
                 WHERE tier_id = %s) AS seat WHERE position %% 2 = 0 AND next IS NOT NULL
        """,
        [stage.tier],
    )
    # Plans made while there are no orders would look through all of them later on.
    pairs = connection.execute("SELECT a, b FROM bench_lock_pair ORDER BY n").fetchall()
    connection.execute(BATCH, _values(stage, pairs))
    connection.execute("VACUUM ANALYZE")


def _reset(connection: psycopg.Connection[Any], stage: Stage) -> None:
    """Every seat is free again; the orders stay."""
    connection.execute(FREE, [stage.show])
    connection.execute("SELECT setval('bench_lock_next', 1, false)")
    connection.execute("VACUUM ANALYZE ticketing_seat")


def _clear_up(connection: psycopg.Connection[Any], stage: Stage) -> None:
    """As if none of it had been: histories refuse to be deleted, so their guards stay out of it this one time."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(FREE, [stage.show])
        for forget in FORGET:
            connection.execute(forget, [stage.show])
    connection.execute("DROP TABLE bench_lock_version, bench_lock_pair")
    connection.execute("DROP SEQUENCE bench_lock_next")
    connection.execute("VACUUM ANALYZE")


FREE = "UPDATE ticketing_seat SET state = 'F', order_id = NULL WHERE show_id = %s AND order_id IS NOT NULL"
FORGET = (
    "DELETE FROM ticketing_orderevent USING ticketing_order o WHERE order_id = o.id AND o.show_id = %s",
    "DELETE FROM ticketing_orderseat USING ticketing_order o WHERE order_id = o.id AND o.show_id = %s",
    "DELETE FROM ticketing_order WHERE show_id = %s",
)


# -- many clients
# ------------------------------------------------------------------------------------------------------
def _by_clients(
    connection: psycopg.Connection[Any], stage: Stage, method: Method, clients: int, *, slow: bool
) -> Cell:
    _reset(connection, stage)
    before, had = _last_order(connection), _orders(connection, stage)
    with tempfile.TemporaryDirectory(prefix="kaipiao-locks-") as directory:
        took, gave_up = _pgbench(Path(directory), stage, method.script(slow=slow), clients)
    orders = _orders(connection, stage) - had
    tries = _last_order(connection) - before
    return Cell(
        method.name,
        clients,
        slow,
        round(orders / RUN_S),
        _quantile(took, 0.5),
        _quantile(took, 0.99),
        max(tries - orders, 0),
        gave_up + max(len(took) - orders, 0),
    )


def _pgbench(directory: Path, stage: Stage, script: str, clients: int) -> tuple[list[float], int]:
    """Milliseconds of every order, and how many clients or orders ended with an error."""
    (directory / "order.sql").write_text(script)
    command = [_binary(), "-n", "-M", "prepared", "-f", "order.sql", "-T", str(RUN_S), "-l"]
    command += ["--log-prefix", "took", "-c", str(clients), "-j", str(min(clients, 2))]
    known = {"tier": stage.tier, "show": stage.show, "phase": stage.phase, "price": stage.price}
    known |= {"first": stage.buyers[0], "last": stage.buyers[-1]}
    for name, value in known.items():
        command += ["-D", f"{name}={value}"]
    limits = {"PGOPTIONS": "-c statement_timeout=30000 -c lock_timeout=10000"}
    done = subprocess.run(
        [*command, stage.url],
        cwd=directory,
        env=os.environ | limits,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "latency average" in done.stdout, done.stderr[-2000:]
    failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
    aborted = len(re.findall(r"client \d+ aborted", done.stderr))
    took = [
        int(line.split()[2]) / 1000
        for log in directory.glob("took.*")
        for line in log.read_text().splitlines()
        if line.split()[2].isdigit()
    ]
    return took, (int(failed.group(1)) if failed else 0) + aborted


def _binary() -> str:
    from operations.devservices import wheels

    try:
        found = wheels.postgres_binary("pgbench", devservices.paths())
    except devservices.MissingServer:
        found = Path("/nowhere")
    name = str(found) if found.is_file() else shutil.which("pgbench")
    assert name, MISSING
    return name


def _last_order(connection: psycopg.Connection[Any]) -> int:
    [(last,)] = connection.execute("SELECT last_value FROM ticketing_order_id_seq").fetchall()
    return int(last)


def _orders(connection: psycopg.Connection[Any], stage: Stage) -> int:
    [(count,)] = connection.execute(
        "SELECT count(*) FROM ticketing_order WHERE show_id = %s", [stage.show]
    ).fetchall()
    return int(count)


# -- one writer
# --------------------------------------------------------------------------------------------------------
BATCH = """
WITH given AS (
  SELECT nextval('ticketing_order_id_seq') AS id, d.*
    FROM unnest(%(buyers)s::bigint[], %(a)s::bigint[], %(b)s::bigint[]) AS d(buyer_id, a, b)
), placed AS (
  INSERT INTO ticketing_order (id, number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor,
    currency, state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
  SELECT id, 'K' || id, buyer_id, 'K' || id, %(show)s, %(phase)s, %(tier)s, 2, 2 * %(price)s,
    'CNY', 'held', false, '', now(), now() + interval '15 min', now() + interval '25 min' FROM given
), pair AS (
  SELECT id, unnest(ARRAY[a, b]) AS seat_id FROM given
), listed AS (
  INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor) SELECT id, seat_id, %(price)s FROM pair
), told AS (
  INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
  SELECT id, '', 'held', now(), 'placed', '', '{}' FROM given
), taken AS (
  UPDATE ticketing_seat SET state = 'H', order_id = pair.id FROM pair
   WHERE ticketing_seat.id = pair.seat_id AND state = 'F' RETURNING 1
) SELECT count(*) FROM taken
"""


def _by_one_writer(connection: psycopg.Connection[Any], stage: Stage, clients: int, *, slow: bool) -> Cell:
    """
    `clients` buyers wait for their answers, so a batch is as many orders as there are clients, and each waits for one
    batch. Their way to the writer is not in it: the others' clients speak to Postgres themselves.
    """
    from ticketing.rush import hall as halls

    _reset(connection, stage)
    hall, took, orders = halls.load(stage.tier), [], 0
    end = time.perf_counter() + RUN_S
    while (begun := time.perf_counter()) < end and hall.free >= 2 * clients:
        pairs = [hall.take_best(2) for _ in range(clients)]
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(7001, %s)", [stage.tier])
            if slow and any(random.randint(1, SLOW_ONE_IN) == 1 for _ in pairs):
                time.sleep(SLOW_MS / 1000)
            [(taken,)] = connection.execute(BATCH, _values(stage, pairs)).fetchall()
            assert taken == 2 * clients, taken
        took.append((time.perf_counter() - begun) * 1000)
        orders += clients
    rate = round(1000 * orders / sum(took))
    return Cell(BATCHED, clients, slow, rate, _quantile(took, 0.5), _quantile(took, 0.99), 0, 0)


def _values(stage: Stage, pairs: Sequence[Sequence[int]]) -> dict[str, Any]:
    buyers = random.choices(stage.buyers, k=len(pairs))
    return asdict(stage) | {"buyers": buyers, "a": [a for a, _ in pairs], "b": [b for _, b in pairs]}


def _quantile(took: list[float], share: float) -> float:
    ordered = sorted(took)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else 0.0
