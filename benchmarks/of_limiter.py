"""What the limiter costs beside the barest call of the store, and that it never lets too many pass."""

from __future__ import annotations

import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import ground
from benchmarks.figures import Figure, benchmark
from benchmarks.limit_clients import EXACT_LIMIT, EXACT_SUBJECT, SUBJECTS
from operations import devservices, edge

AT_EDGE, IN_DJANGO = ("bare", "limited", "hot"), {"bare_django": "bare", "one": "one", "three": "three"}
PROCESSES, CONNECTIONS, RUN_S, ROUNDS, SHARE = 4, 64, 1, 5, 0.6
Clients = list[subprocess.Popen[str]]
MISSING = "wrk and nginx are needed (scripts/install-system)"


@benchmark("limiter")
def limiter() -> Figure:
    """Requests a second through the limiter at the edge; ceiling: the same nginx making one INCR for each."""
    from basis import fast

    assert shutil.which("wrk"), MISSING
    assert not edge.missing(), MISSING
    rates: dict[str, list[float]] = {name: [] for name in (*AT_EDGE, *IN_DJANGO)}
    with (
        tempfile.TemporaryDirectory(prefix="kaipiao-limiter-") as directory,
        _edge(Path(directory)) as url,
        _clients() as clients,
    ):
        for _ in range(ROUNDS):
            for name in AT_EDGE:
                rates[name].append(_wrk(f"{url}/{name}"))
            for name, kind in IN_DJANGO.items():
                rates[name].append(sum(told["done"] for told in _ask(clients, kind)) / RUN_S)
        most, passed = _most_in_a_window(url, clients)
    fast.store().flushdb()
    rate = {name: statistics.median(found) for name, found in rates.items()}
    assert most <= EXACT_LIMIT, f"{most} passed a limit of {EXACT_LIMIT}"
    facts: dict[str, Any] = {
        "addresses": SUBJECTS,
        "ratio_one_hot_key": round(rate["hot"] / rate["bare"], 2),
        "django_one_rule": round(rate["one"]),
        "django_three_rules": round(rate["three"]),
        "django_bare": round(rate["bare_django"]),
        "django_ratio": round(rate["one"] / rate["bare_django"], 2),
        "django_ratio_three_rules": round(rate["three"] / rate["bare_django"], 2),
        "processes": PROCESSES,
        f"limit_of_{EXACT_LIMIT}_most_in_a_second": most,
        f"limit_of_{EXACT_LIMIT}_passed_in_all": passed,
    }
    return Figure(
        "limiter", rate["limited"], "requests/s", ceiling=rate["bare"], bar=SHARE * rate["bare"], facts=facts
    )


def _most_in_a_window(url: str, clients: Clients) -> tuple[int, int]:
    """
    Four processes and nginx press one limit at once: the most that passed in any second by the store's clock, and how
    many passed at all.
    """
    from basis import fast

    wrk = subprocess.Popen(
        _command(
            f"{url}/exact",
        ),
        stdout=subprocess.DEVNULL,
    )
    told = _ask(clients, "exact")
    wrk.wait(30)
    at_edge = [int(at) for at in fast.store().lrange("bench:passed", 0, -1)]
    in_django = [at for one in told for at in one["passed"]]
    assert at_edge, "nobody passed at the edge"
    assert in_django, "nobody passed in Django"
    times = sorted(at_edge + in_django)
    return max(bisect_left(times, at + 1000) - i for i, at in enumerate(times)), len(times)


# -- Django
# ------------------------------------------------------------------------------------------------------------
@contextmanager
def _clients() -> Iterator[Clients]:
    command = [sys.executable, "-m", "benchmarks.limit_clients", str(RUN_S)]
    running = [
        subprocess.Popen(command, cwd=ground.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        _ask(running, "bare")  # from here on all of them are ready
        yield running
    finally:
        for one in running:
            one.communicate(timeout=20)


def _ask(clients: Clients, kind: str) -> list[dict[str, Any]]:
    """All processes at once."""
    for one in clients:
        assert one.stdin
        one.stdin.write(f"{kind}\n")
        one.stdin.flush()
    return [json.loads(one.stdout.readline()) for one in clients if one.stdout]


# -- the edge
# ----------------------------------------------------------------------------------------------------------
@contextmanager
def _edge(state: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    one = edge.Edge(
        state=state,
        listen=f"127.0.0.1:{port}",
        upstream="127.0.0.1:1",
        redis_url=devservices.redis_url(ground.REDIS_DB),
        limits=[],
        access_log=False,
        extra=_locations(),
    )
    edge.start(one)
    try:
        yield one.url
    finally:
        edge.stop(state)


def _locations() -> str:
    # A global would be each request's own; what is loaded is the worker's.
    script = """local script = package.loaded.bench_limit
            if not script then
                script = require("fast").script(require("kaipiao.config").scripts.limit)
                package.loaded.bench_limit = script
            end"""
    subject = f"math.random({SUBJECTS})"
    key = f'"limit:{{{EXACT_SUBJECT}}}:exact:1000:{EXACT_SUBJECT}"'
    return f"""
        location = /bare {{ content_by_lua_block {{
            require("fast").call("incr", "bench:bare:" .. {subject})
            ngx.print("passed")
        }} }}
        location = /limited {{ content_by_lua_block {{
            local subject = {subject}
            {script}
            local key = "limit:{{" .. subject .. "}}:bench:" .. subject
            local told = require("fast").run(script, {{ key }}, {{ 10000000, 1000 }})
            if string.byte(told) == 49 then ngx.print("passed") else ngx.exit(429) end
        }} }}
        location = /hot {{ content_by_lua_block {{
            {script}
            local told = require("fast").run(script, {{ "limit:{{hot}}:bench:hot" }}, {{ 10000000, 1000 }})
            if string.byte(told) == 49 then ngx.print("passed") else ngx.exit(429) end
        }} }}
        location = /exact {{ content_by_lua_block {{
            {script}
            local told = require("fast").run(script, {{ {key} }}, {{ {EXACT_LIMIT}, 1000 }})
            if string.byte(told) ~= 49 then return ngx.exit(429) end
            require("fast").call("rpush", "bench:passed", string.match(told, "%d+$"))
            ngx.print("passed")
        }} }}
"""


def _command(address: str) -> list[str]:
    return ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{RUN_S}s", address]


def _wrk(address: str) -> float:
    said = subprocess.run(_command(address), capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", said)
    return float(rate)
