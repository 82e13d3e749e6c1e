"""
The rush: 32,000 seats of the outer ring, 40,000 buyers with funded wallets, over HTTP through nginx: submission with an
admission pass, status, token, payment from the wallet, ticket. Beside it, before and after, the rows as set-based SQL.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import cpu, ground, set_sql
from benchmarks.figures import Figure, benchmark
from operations import devservices

BUYERS, CASH_MINOR = int(os.environ.get("RUSH_BUYERS", "40000")), 2_000_000
OUTER_RING = ("GOLD", "SILVER", "BRONZE", "UPPER")
SEATS, SEATS_A_SECOND = 32_000, 1_600
CONNECTIONS, WINDOW = (
    int(os.environ.get("RUSH_CONNECTIONS", "64")),
    int(os.environ.get("RUSH_WINDOW", "3000")),
)
CEILING_ORDERS = 4_000
# What its staff tell the waiting room of an edge that shares two cores with everything else: a twentieth of them.
POLLS_A_SECOND = 1_500
QUEUE = os.environ.get("RUSH_QUEUE", "1") == "1"
GIVE_UP_S = int(os.environ.get("RUSH_GIVE_UP_S", "120"))
MISSING = "wrk is not installed (Debian: apt-get install wrk)"


@benchmark("rush")
def rush() -> Figure:
    """Seats a second from the opening to the last ticket."""
    from operations.stack import Stack

    assert shutil.which("wrk"), MISSING
    show, buyers = _town()
    before = _ceiling("ceiling-before", buyers)
    with tempfile.TemporaryDirectory(prefix="kaipiao-rush-") as directory:
        state = Path(directory)
        stack = Stack(
            database=ground.DATABASE,
            redis_db=ground.REDIS_DB,
            state_dir=state / "stack",
            env={"KAIPIAO_LOG_LEVEL": "WARNING"},
        )
        with stack as running, _edge(state / "edge", running.url) as edge, _drainer(state) as drainer:
            programs = {
                "nginx": edge[1],
                "drainer": drainer,
                "postgres": _pid(devservices.paths().postgres_data / "postmaster.pid"),
                "valkey": _valkey(),
                **{name: program.pid for name, program in running.info().programs.items()},
            }
            told = _drive(state, edge[0], show, buyers, programs)
    after = _ceiling("ceiling-after", buyers)
    return _figure(show, told, before, after)


def _figure(show: Any, told: dict[str, Any], before: float, after: float) -> Figure:
    from ticketing.models import Order, Ticket

    seconds = (told["ended_ms"] - told["begun_ms"]) / 1000
    tickets = Ticket.objects.filter(show=show).count()
    orders = Order.objects.filter(show=show, state="paid").count()
    wrong = ground.violations()
    assert not wrong, wrong[:5]
    ceiling = (before + after) / 2
    facts = {
        "seconds": round(seconds, 2),
        "seats": tickets,
        "orders": orders,
        "orders_per_s": round(orders / seconds),
        "ceiling_orders_per_s": [round(before), round(after)],
        "orders_ratio": round(orders / seconds / ceiling, 3),
        "without_answer": told["under_way"],
        "waiting_room": QUEUE,
        "fair": _fair(show),
        "requests": told["requests"],
        "counts": told["counts"],
        "paid_by_second": _by_second(show),
        "took_ms": told["took_ms"],
        "cpu_s": told["cpu_s"],
        "memory_mib": told["memory_mib"],
        "audit": "clean",
    }
    print(json.dumps(facts), file=sys.stderr)
    return Figure(
        "rush",
        tickets / seconds,
        "seats/s",
        ceiling=ceiling * tickets / max(orders, 1),
        bar=SEATS_A_SECOND,
        facts=facts,
    )


def _by_second(show: Any) -> list[int]:
    """Orders paid in each second from the first one's on."""
    from payments.models import Payment

    begun = Payment.objects.filter(outcome="won").earliest("paid_at").paid_at
    seconds = Counter(
        int((at - begun).total_seconds())
        for at in Payment.objects.filter(outcome="won", paid_at__gte=begun).values_list("paid_at", flat=True)
    )
    return [seconds[n] for n in range(max(seconds) + 1)]


def _fair(show: Any) -> bool:
    """
    Whether, per tier, the orders' rows are in the order in which the store accepted them: a number carries the edge's
    millisecond, and the edge asked the store in that order, give or take the requests that were in flight together.
    """
    from ticketing.models import Order

    for tier in show.tiers.all():
        at = [
            number[1:10]
            for number in Order.objects.filter(tier=tier).order_by("pk").values_list("number", flat=True)
        ]
        worst = max(
            (_ms(latest) - _ms(one) for one, latest in zip(at, _running_max(at), strict=True)), default=0
        )
        if worst > 50:
            return False
    return True


def _running_max(values: list[str]) -> Iterator[str]:
    latest = ""
    for value in values:
        latest = max(latest, value)
        yield latest


def _ms(digits: str) -> int:
    from basis.numbers import ALPHABET

    total = 0
    for digit in digits:
        total = total * 32 + ALPHABET.index(digit)
    return total


# -- the town
# -----------------------------------------------------------------------------------------------------------
def _town() -> tuple[Any, list[int]]:
    from django.db import connection

    from operations import seeding
    from ticketing.models import Seat

    now = datetime.now(UTC)
    show = seeding.seed_show(code="rush-hour", now=now, opens_at=now - timedelta(minutes=1))
    # The house of this rush is the outer ring: nobody here asks for the inner field, so it would never sell out.
    Seat.objects.filter(show=show).exclude(tier__code__in=OUTER_RING).delete()
    show.tiers.exclude(code__in=OUTER_RING).delete()
    buyers = seeding.seed_buyers(BUYERS, CASH_MINOR, now=now)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    return show, buyers


def _ceiling(code: str, buyers: list[int]) -> float:
    """Orders a second of the same shape, as bare SQL, on another show of the same house."""
    from operations import seeding
    from payments import money
    from ticketing.models import SalePhase, Seat
    from wallet.models import Account

    now = datetime.now(UTC)
    show = seeding.seed_show(code=code, now=now)
    cash = dict(Account.objects.filter(kind="buyer_cash").values_list("owner", "pk"))
    phase = SalePhase.objects.get(show=show, kind=SalePhase.Kind.GENERAL)
    guarantee = Account.objects.get(code=money.guarantee("CNY")).pk
    rows = iter(
        Seat.objects.filter(show=show, tier__code__in=OUTER_RING)
        .order_by("tier", "row_rank", "position")
        .values_list("pk", "tier_id", "tier__price_minor")
    )
    # The ceiling's money is not the rush's: buyers at the end of the line, two of them an order at most.
    sales = []
    for i, buyer in enumerate(buyers[-CEILING_ORDERS:]):
        seats = [next(rows) for _ in range(2 if i % 3 == 0 else 1)]
        if len({tier for _, tier, _ in seats}) > 1:
            continue
        _, tier, price = seats[0]
        sales.append(set_sql.Sale(buyer, tier, price, [seat for seat, _, _ in seats], cash[str(buyer)]))
    url = devservices.database_url(ground.DATABASE)
    return set_sql.sell(url, sales, show=show.pk, phase=phase.pk, guarantee=guarantee)


# -- the machinery
# ----------------------------------------------------------------------------------------------------------
@contextmanager
def _edge(state: Path, upstream: str) -> Iterator[tuple[str, int]]:
    from operations import edge as edges

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    edge = edges.Edge(
        state=state,
        listen=f"127.0.0.1:{port}",
        upstream=upstream.removeprefix("http://"),
        redis_url=devservices.redis_url(ground.REDIS_DB),
        # Every check is on; all buyers come from one address here, so its limit is as high as theirs together.
        limits=edges.usual_limits(reads=1_000_000, writes=1_000_000),
        access_log=False,
    )
    edges.start(edge)
    try:
        yield edge.url, edges.running(state).pid  # type: ignore[union-attr]
    finally:
        edges.stop(state)


@contextmanager
def _drainer(state: Path) -> Iterator[int]:
    log = (state / "drain.log").open("w")
    command = [sys.executable, "manage.py", "drain", "--show", "rush-hour"]
    process = subprocess.Popen(command, cwd=ground.ROOT, stdout=log, stderr=log)
    from basis import fast
    from ticketing.models import PriceTier
    from ticketing.rush import keys

    tiers = list(PriceTier.objects.filter(show__code="rush-hour").values_list("pk", flat=True))
    deadline = time.monotonic() + 30
    while not all(fast.store().exists(keys.sale(tier)) for tier in tiers):
        assert time.monotonic() < deadline, (state / "drain.log").read_text()
        time.sleep(0.1)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        print((state / "drain.log").read_text()[-2000:], file=sys.stderr)


def _drive(state: Path, url: str, show: Any, buyers: list[int], programs: dict[str, int]) -> dict[str, Any]:
    from risk import signing

    until = int(time.time()) + 3600
    numbers = _waiting(show, buyers) if QUEUE else {}
    lines = [
        (
            numbers.get(buyer)
            or signing.sign_pass(signing.Pass(show.code, buyer, i, until, secrets.token_hex(8)))
        )
        + f" {OUTER_RING[i % 4]} {2 if i % 3 == 0 else 1}\n"
        for i, buyer in enumerate(buyers)
    ]
    (state / "buyers").write_text("".join(lines))
    variables = {
        "RUSH_BUYERS": str(state / "buyers"),
        "RUSH_SHOW": show.code,
        "RUSH_WINDOW": str(len(buyers) if QUEUE else WINDOW),
        "RUSH_TOLD": str(state / "told"),
        "RUSH_GIVE_UP_S": str(GIVE_UP_S),
        "RUSH_QUEUE": "1" if QUEUE else "0",
    }
    pacer = _pacer(show) if QUEUE else None
    samples = [_Sample.now()]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{GIVE_UP_S + 20}", "--timeout", "10", "-s"]
    begun = time.perf_counter()
    if QUEUE:
        _open(show)
    wrk = subprocess.Popen(
        [*command, str(ground.ROOT / "benchmarks/wrk/rush.lua"), url],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watched = {"wrk": wrk.pid, **programs} | ({"pacer": pacer.pid} if pacer else {})
    most: list[int] = []
    stopping = threading.Event()
    watcher = threading.Thread(target=_watch_memory, args=(programs, most, stopping), daemon=True)
    watcher.start()
    told = state / "told"
    while not told.exists() and wrk.poll() is None:
        time.sleep(0.1)
        if time.time() - samples[-1].at_s >= 1:
            samples.append(_Sample.now())
    if wrk.poll() is None:
        wrk.send_signal(signal.SIGINT)
    shown = wrk.communicate(timeout=30)[0]
    stopping.set()
    if pacer is not None:
        pacer.terminate()
        pacer.wait(20)
    assert told.exists(), f"the rush did not end in {time.perf_counter() - begun:.0f} s\n{shown}"
    result: dict[str, Any] = json.loads(told.read_text())
    # What comes after the last ticket (telling those who got none) is not the rush's.
    until = min(samples, key=lambda sample: abs(sample.at_s - result["ended_ms"] / 1000))
    result["cpu_s"] = until.since(samples[0], watched)
    result["memory_mib"] = [round(one / 2**20) for one in most]
    return result


@dataclass(frozen=True, slots=True)
class _Sample:
    """Who had used how much of the processor at a moment."""

    at_s: float
    spent: cpu.Spent
    idle: float

    @classmethod
    def now(cls) -> _Sample:
        return cls(time.time(), cpu.spent(), cpu.idle())

    def since(self, begun: _Sample, programs: dict[str, int]) -> dict[str, float]:
        """Processor seconds by program; `of` is what the machine's cores had to give."""
        used = {
            name: cpu.of_program(pid, self.spent) - cpu.of_program(pid, begun.spent)
            for name, pid in programs.items()
        }
        used["idle"], used["of"] = self.idle - begun.idle, (self.at_s - begun.at_s) * (os.cpu_count() or 1)
        return {name: round(seconds, 2) for name, seconds in used.items()}


def _waiting(show: Any, buyers: list[int]) -> dict[int, str]:
    """Everybody joins the waiting room before the draw; the signed numbers."""
    import redis
    from django.utils import timezone

    from risk import signing, steering, waiting_room
    from risk.room_models import Room

    now = timezone.now()
    Room.objects.create(show=show.code, opens_at=now + timedelta(minutes=30))
    steering.collect(show=show.code, actor="benchmark", now=now)
    bounds = {"pace_min": 4000, "pace_max": 20_000, "max_inside": 50_000, "polls_per_s": POLLS_A_SECOND}
    steering.adjust(show=show.code, actor="benchmark", now=now, **bounds)
    # Patient: the product's own half second is for one question, not for thousands in one breath.
    store = redis.Redis.from_url(devservices.redis_url(ground.REDIS_DB), socket_timeout=60)
    digest, signed = store.script_load(waiting_room.ROOM.text), {}
    for first in range(0, len(buyers), 1000):
        pipe = store.pipeline(transaction=False)
        for buyer in buyers[first : first + 1000]:
            keys = waiting_room.keys(show.code, 1, buyer)
            values = ["join", 1, waiting_room.field(buyer), 0, int(now.timestamp() * 1000)]
            pipe.evalsha(digest, len(keys), *keys, *values)
        for buyer, answer in zip(buyers[first : first + 1000], pipe.execute(), strict=True):
            signed[buyer] = signing.sign_number(signing.QueueNumber(show.code, buyer, int(answer[2]), 1))
    return signed


def _pacer(show: Any) -> subprocess.Popen[bytes]:
    """The pacer, which runs long before a room opens."""
    command = [sys.executable, "manage.py", "pace", "--show", show.code]
    pacer = subprocess.Popen(command, cwd=ground.ROOT, stdout=subprocess.PIPE)
    assert pacer.stdout is not None
    assert pacer.stdout.readline(), "the pacer does not start"
    return pacer


def _open(show: Any) -> None:
    """Draw, and open."""
    from django.utils import timezone

    from risk import steering

    steering.open_room(show=show.code, actor="benchmark", now=timezone.now())


def _watch_memory(programs: dict[str, int], most: list[int], stopping: threading.Event) -> None:
    """Sample what the whole stack holds, seldom: reading it costs the processor that is being measured."""
    while not stopping.wait(5.0):
        most.append(sum(cpu.memory(pid) for pid in programs.values()))


def _pid(path: Path) -> int:
    return int(path.read_text().split()[0])


def _valkey() -> int:
    from basis import fast

    return int(fast.store().info("server")["process_id"])
