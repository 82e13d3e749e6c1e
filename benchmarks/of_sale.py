"""Orders and wallet payments a second over HTTP, beside the same rows as plain SQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import ground, plain_sql
from benchmarks.figures import Figure, benchmark
from operations import devservices

CLIENTS = 16
WARM_S, RUN_S, SQL_S = 3.0, 15.0, 8.0
BUYERS, CASH = 3000, 2_000_000
SCOPES = ("orders:write", "payments:write")


@benchmark("orders_wallet_http")
def orders_wallet_http() -> Figure:
    """POST order, POST payment-token, POST payment; real tokens, idempotency keys, granian, worker and beat running."""
    from operations.stack import Stack

    ceiling = sell_as_plain_sql(buyers=_buyers("q", BUYERS))
    plan = _plan(_buyers("h", BUYERS))
    with (
        tempfile.TemporaryDirectory(prefix="kaipiao-bench-") as state,
        Stack(
            database=ground.DATABASE,
            redis_db=ground.REDIS_DB,
            state_dir=Path(state),
            env={"KAIPIAO_LOG_LEVEL": "WARNING"},
        ) as stack,
    ):
        before = _cpu_s(stack)
        seen = drive(plan | {"url": stack.url})
        spent = {name: after - before[name] for name, after in _cpu_s(stack).items()}
    wrong = ground.violations()
    assert not wrong, wrong[:5]
    facts = {"clients": CLIENTS, "sql_clients": CLIENTS} | {
        name: seen[name] for name in ("p50_ms", "p99_ms", "errors")
    }
    # All that were done, also while warming up: the processor time is counted over both.
    facts |= {
        f"{name}_cpu_ms_per_order": round(1000 * spent[name] / max(seen["done_in_all"], 1), 1)
        for name in spent
    }
    facts |= {"generator_cpu_of_one_core": seen["cpu_share"], "audit": "clean"}
    return Figure("orders_wallet_http", seen["done"] / RUN_S, "orders/s", ceiling=ceiling, facts=facts)


def drive(plan: dict[str, Any]) -> dict[str, Any]:
    """Run the load generator on a plan."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ground.ROOT,
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _cpu_s(stack: Any) -> dict[str, float]:
    """Processor seconds so far of the web server and of the database, with their children."""
    pids = {"web": stack.pid("web"), "postgres": devservices.status()["postgres"]["pid"]}
    return {name: _cpu_of_tree(pid) for name, pid in pids.items() if pid}


def _cpu_of_tree(leader: int) -> float:
    """User and system time of a process and its descendants, the ones that ended included."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
        ticks[int(stat.parent.name)] = sum(int(field) for field in fields[11:15])
    tree = {leader}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(ticks.get(pid, 0) for pid in tree) / os.sysconf("SC_CLK_TCK")


def _buyers(prefix: str, count: int) -> list[int]:
    from django.utils import timezone

    from operations import seeding

    return seeding.seed_buyers(count, CASH, now=timezone.now(), prefix=prefix)


def rush_show() -> Any:
    from django.utils import timezone

    from operations import seeding

    return seeding.seed_show(code=ground.RUSH_SHOW, now=timezone.now())


def _plan(buyer_ids: list[int]) -> dict[str, Any]:
    from django.utils import timezone

    from accounts.models import User
    from accounts.tokens import issue_tokens_in_bulk

    show = rush_show()
    secrets = issue_tokens_in_bulk(list(User.objects.filter(pk__in=buyer_ids)), SCOPES, timezone.now())
    return {
        "clients": CLIENTS,
        "warm_s": WARM_S,
        "run_s": RUN_S,
        "buyers": [{"token": secret} for secret in secrets],
        "show": show.code,
        "tiers": list(show.tiers.values_list("code", flat=True)),
    }


def sell_as_plain_sql(*, buyers: list[int]) -> float:
    """Sales a second by plain SQL on seats of the same show."""
    from payments import money
    from ticketing.models import SalePhase, Seat
    from wallet.models import Account

    show = rush_show()
    cash = dict(Account.objects.filter(kind="buyer_cash").values_list("owner", "pk"))
    phase = SalePhase.objects.get(show=show, kind=SalePhase.Kind.GENERAL)
    guarantee = Account.objects.get(code=money.guarantee("CNY")).pk
    free = Seat.objects.filter(show=show, state="F").order_by("-row_rank", "position")
    rows = free.values_list("pk", "tier_id", "tier__price_minor")[: 4 * len(buyers)]
    sales = [
        plain_sql.Sale(buyer, seat, tier, price, cash[str(buyer)])
        for (seat, tier, price), buyer in zip(rows, [one for one in buyers for _ in range(4)], strict=False)
    ]
    stage = plain_sql.Stage(show.pk, phase.pk, guarantee)
    return plain_sql.sell(
        devservices.database_url(ground.DATABASE), stage, sales, clients=CLIENTS, run_s=SQL_S
    )
