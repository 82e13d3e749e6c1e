"""
The waiting room with 1,880,000 buyers inside: what each costs in the store, how fast the edge answers their polls; and
a stampede on a stack that is sized for a tenth of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import redis

from benchmarks import ground
from benchmarks.figures import Figure, benchmark
from operations import devservices, edge
from operations.edge import Edge

CROWD = int(os.environ.get("ROOM_CROWD", "1880000"))
SPREAD = 3  # of the buyers that exist, every third one is here
SHOW = "crowd"
BYTES_EACH, POLLS_SHARE = 40.0, 0.5
SAMPLE, CONNECTIONS, RUN_S, ROUNDS = 20_000, 64, 6, 3
STAMPEDE, SIZED_FOR, STAMPEDE_S = 2_000, 200, 15
# As many as granian's threads (2 workers of 8) work on at once: 200 people who click every few seconds need no
# more, and a slot more is not a buyer more but a longer wait for all who are let in.
SLOTS = 16
SCRIPTS = Path(__file__).parent / "wrk"
MISSING = "wrk and nginx are needed (scripts/install-system)"


@benchmark("waiting_room_bytes")
def waiting_room_bytes() -> Figure:
    """Memory of the store per buyer in the room, everything of the room included."""
    crowd = _crowd()
    facts = {
        "inside": CROWD,
        "joined_a_second": round(CROWD / crowd["seconds"]),
        "megabytes": round(crowd["bytes"] / 1e6, 1),
    }
    return Figure("waiting_room_bytes", crowd["bytes"] / CROWD, "bytes", bar=BYTES_EACH, facts=facts)


@benchmark("waiting_room_polls")
def waiting_room_polls() -> Figure:
    """Polls a second at the edge after a draw of all; ceiling: the same nginx answering a constant from Lua."""
    assert not _missing(), MISSING
    _crowd()
    tokens = _opened()
    with tempfile.TemporaryDirectory(prefix="kaipiao-polls-") as directory:
        listed = Path(directory) / "tokens"
        listed.write_text("\n".join(tokens) + "\n")
        with _running(
            Path(directory) / "edge", upstream="127.0.0.1:1", extra=_constant(), polls_per_second=100_000
        ) as one:
            address = f"{one.url}/api/v1/shows/{SHOW}/queue"
            rates: dict[str, list[dict[str, Any]]] = {"constant": [], "polls": []}
            for _round in range(ROUNDS):
                rates["constant"].append(_wrk(f"{one.url}/constant", "polls.lua", str(listed)))
                rates["polls"].append(_wrk(address, "polls.lua", str(listed)))
    constant, polls = (
        statistics.median(run["rate"] for run in rates[name]) for name in ("constant", "polls")
    )
    told = rates["polls"][-1]
    facts = {
        "p99_ms": told["p99_ms"],
        "not_2xx": sum(run["not_2xx"] for run in rates["polls"]),
        "inside": CROWD,
    }
    return Figure(
        "waiting_room_polls", polls, "polls/s", ceiling=constant, bar=POLLS_SHARE * constant, facts=facts
    )


@benchmark("stampede")
def stampede() -> Figure:
    """p99 of those let in when ten times too many come at once; ceiling: p99 of as many as the stack is sized for."""
    from operations.stack import Stack

    assert not _missing(), MISSING
    slug = _small_house()
    with tempfile.TemporaryDirectory(prefix="kaipiao-stampede-") as directory:
        state = Path(directory)
        stack = Stack(
            database=ground.DATABASE,
            redis_db=ground.REDIS_DB,
            state_dir=state / "stack",
            env={"KAIPIAO_LOG_LEVEL": "WARNING"},
        )
        with (
            stack as running,
            _running(state / "edge", upstream=running.url.rpartition("/")[2], upstream_slots=SLOTS) as one,
        ):
            address = f"{one.url}/events/{slug}/?show=small"
            _come(address, SIZED_FOR)  # warm
            calm = _seen(one, lambda: _come(address, SIZED_FOR))
            crowded = _seen(one, lambda: _come(address, STAMPEDE))
            alive = _wrk(f"{one.url}/edge/livez", None, "", seconds=1)["rate"] > 0
    facts = {
        "served": crowded["served"],
        "told_to_wait": crowded["waiting"],
        "failed": crowded["failed"],
        "connections": STAMPEDE,
        "sized_for": SIZED_FOR,
        "p50_ms": crowded["p50_ms"],
        "waiting_page_p99_ms": crowded["waiting_p99_ms"],
        "alive_afterwards": alive,
    }
    assert crowded["failed"] == 0, facts
    return Figure(
        "stampede", crowded["p99_ms"], "ms", ceiling=calm["p99_ms"], bar=2 * calm["p99_ms"] + 50, facts=facts
    )


# -- the crowd
# ------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def _crowd() -> dict[str, Any]:
    """Everybody joins before the draw, through the script that Django and the edge run."""
    from django.utils import timezone

    from risk import steering, waiting_room
    from risk.room_models import Room

    now = timezone.now()
    Room.objects.create(show=SHOW, opens_at=now + timedelta(hours=1))
    steering.collect(show=SHOW, actor="benchmark", now=now)
    # Patient: the product's own half second is for one question, not for thousands in one breath.
    store = redis.Redis.from_url(devservices.redis_url(ground.REDIS_DB), socket_timeout=60)
    digest = store.script_load(waiting_room.ROOM.text)
    before, begun = store.info("memory")["used_memory"], time.perf_counter()
    _join_all(store, str(digest), int(now.timestamp() * 1000))
    seconds = time.perf_counter() - begun
    issued = int(store.hget(waiting_room.keys(SHOW, 1, 0)[0], "issued") or 0)
    assert issued == CROWD, f"{issued} numbers were given out"
    return {"bytes": store.info("memory")["used_memory"] - before, "seconds": seconds}


def _join_all(store: redis.Redis, digest: str, now_ms: int) -> None:
    """The store is asked to keep its answers to itself: reading them would take longer than giving them."""
    from risk import waiting_room

    connection = store.connection_pool.get_connection()
    connection.send_command("CLIENT", "REPLY", "OFF")
    for first in range(1, CROWD + 1, 2000):
        commands = [
            _packed(
                "EVALSHA", digest, "3", *waiting_room.keys(SHOW, 1, i * SPREAD),
                "join", "1", str(waiting_room.field(i * SPREAD)), "0", str(now_ms),
            )
            for i in range(first, min(first + 2000, CROWD + 1))
        ]  # fmt: skip
        connection.send_packed_command([b"".join(commands)])
    connection.send_command("CLIENT", "REPLY", "ON")
    assert connection.read_response() in (b"OK", "OK")
    store.connection_pool.release(connection)


def _packed(*parts: str) -> bytes:
    """A command as the store reads it; the parts are ASCII."""
    lines = [f"*{len(parts)}"]
    for part in parts:
        lines += [f"${len(part)}", part]
    return ("\r\n".join(lines) + "\r\n").encode()


def _opened() -> list[str]:
    """Draw, let nobody in yet; signed numbers of a sample of the crowd."""
    from django.utils import timezone

    from risk import signing, steering, waiting_room

    now = timezone.now()
    steering.open_room(show=SHOW, actor="benchmark", now=now)
    tokens = []
    for i in range(1, CROWD, CROWD // SAMPLE):
        standing = waiting_room.poll(show=SHOW, buyer_id=i * SPREAD, now=now)
        assert standing.place > 0, standing
        tokens.append(signing.sign_number(waiting_room.number_of(SHOW, i * SPREAD, standing)))
    return tokens


def _missing() -> bool:
    return shutil.which("wrk") is None or bool(edge.missing())


def _small_house() -> str:
    from django.utils import timezone

    from ticketing import sample
    from ticketing.models import Show

    show = Show.objects.filter(code="small").first()
    show = show or sample.make_show(code="small", now=timezone.now(), rows_per_section=1)
    return str(show.event.slug)


# -- the edge and the load
# ------------------------------------------------------------------------------------------------------
@contextmanager
def _running(state: Path, **more: Any) -> Iterator[Edge]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    limits = edge.usual_limits(reads=0, writes=0)
    redis_url = devservices.redis_url(ground.REDIS_DB)
    one = Edge(state=state, listen=f"127.0.0.1:{port}", redis_url=redis_url, limits=limits, **more)
    edge.start(one)
    try:
        yield one
    finally:
        edge.stop(state)


def _constant() -> str:
    """An answer as long as a poll's, from Lua, from the same server."""
    body = json.dumps({"constant": "x" * 560})
    return f"""
        location = /constant {{
            content_by_lua_block {{
                ngx.header["Content-Type"] = "application/json"
                ngx.print([==[{body}]==])
            }}
        }}
"""


def _wrk(
    address: str, script: str | None, argument: str, *, seconds: int = RUN_S, connections: int = CONNECTIONS
) -> Any:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "20s"]
    command += ["-s", str(SCRIPTS / script)] if script else []
    command += [address, *(["--", argument] if argument else [])]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    return {
        "rate": float(rate.group(1)) if rate else 0.0,
        "p99_ms": round(float(p99.group(1)) * scale[p99.group(2)], 2) if p99 else None,
        "not_2xx": int(wrong.group(1)) if wrong else 0,
        "errors": sum(map(int, errors.groups())) if errors else 0,
    }


def _come(address: str, connections: int) -> dict[str, Any]:
    told: dict[str, Any] = _wrk(
        address, "stampede.lua", str(connections), seconds=STAMPEDE_S, connections=connections
    )
    return told


def _seen(one: Edge, come: Any) -> dict[str, Any]:
    """What the edge wrote down of a crowd, by answer: served (200), told to wait (503 with a page), anything else."""
    time.sleep(1.2)
    log = one.state / "access.log"
    begin = log.stat().st_size
    told = come()
    time.sleep(1.2)
    with log.open() as file:
        file.seek(begin)
        lines = [json.loads(line) for line in file if line.endswith("}\n")]
    # 499: the client hung up, as wrk does with whatever is under way when its time is over.
    took: dict[int, list[float]] = {}
    for line in lines:
        took.setdefault(line["status"], []).append(line["seconds"] * 1000)
    others = sum(len(times) for status, times in took.items() if status not in (200, 499, 503))
    return {
        "served": len(took.get(200, [])),
        "waiting": len(took.get(503, [])),
        "failed": others + told["errors"],
        "p50_ms": _quantile(took.get(200, []), 0.5),
        "p99_ms": _quantile(took.get(200, []), 0.99),
        "waiting_p99_ms": _quantile(took.get(503, []), 0.99),
    }


def _quantile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else 0.0
