"""How often a second a buyer can be told how many seats are left, while nothing is sold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import ground
from benchmarks.figures import Figure, benchmark
from benchmarks.of_sale import rush_show

CLIENTS, RUN_S = 32, 8

# Where wrk is not installed. Its own cost lowers the figure, so its share of a core is told.
ASK = """
import asyncio, json, sys, time
import aiohttp

async def main(url, clients, run_s):
    done, end = 0, time.perf_counter() + run_s
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        async def client():
            nonlocal done
            while time.perf_counter() < end:
                async with session.get(url) as answer:
                    await answer.read()
                    assert answer.status == 200, answer.status
                done += 1
        await asyncio.gather(*(client() for _ in range(clients)))
    print(json.dumps([done / run_s, time.process_time() / run_s]))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
"""


@benchmark("availability_http")
def availability_http() -> Figure:
    from operations.stack import Stack

    show = rush_show()
    with (
        tempfile.TemporaryDirectory(prefix="kaipiao-bench-") as state,
        Stack(
            database=ground.DATABASE,
            redis_db=ground.REDIS_DB,
            state_dir=Path(state),
            env={"KAIPIAO_LOG_LEVEL": "WARNING"},
        ) as stack,
    ):
        url = f"{stack.url}/api/v1/shows/{show.code}/availability"
        rate, facts = _by_wrk(url) if shutil.which("wrk") else _by_python(url)
        # The ceiling of this web server: the same way through it, and no work.
        least, _ = _by_wrk(f"{stack.url}/livez") if shutil.which("wrk") else _by_python(f"{stack.url}/livez")
    return Figure("availability_http", rate, "answers/s", ceiling=least, facts=facts)


def _by_wrk(url: str) -> tuple[float, dict[str, object]]:
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{RUN_S}s", "--latency", url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in told, told
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", told)
    [slow] = re.findall(r"99%\s+(\S+)", told)
    return float(rate), {"clients": CLIENTS, "p99": slow, "generator": "wrk"}


def _by_python(url: str) -> tuple[float, dict[str, object]]:
    command = [sys.executable, "-c", ASK, url, str(CLIENTS), str(RUN_S)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, share = (float(number) for number in re.findall(r"[\d.]+", done.stdout))
    return rate, {"clients": CLIENTS, "generator": "aiohttp", "generator_cpu_of_one_core": round(share, 2)}
