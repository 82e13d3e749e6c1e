"""Where benchmarks run: a database and a Redis database of their own, made anew each time, and the sold house in it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from operations import devservices

ROOT = Path(__file__).resolve().parents[1]
DATABASE, TEMPLATE, REDIS_DB = "kaipiao_bench", "kaipiao_bench_empty", 6
SEATS = 39_000
SOLD_SHOW, RUSH_SHOW = "sold", "rush"


def lay() -> None:
    """Make the empty, migrated database that each run gets a copy of. Call once, before the first run."""
    devservices.up()
    clear()
    devservices.create_database(TEMPLATE)
    environment = os.environ | {
        "DATABASE_URL": devservices.database_url(TEMPLATE),
        "REDIS_URL": devservices.redis_url(REDIS_DB),
    }
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--no-input"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)


def enter() -> None:
    """Take a fresh database and load Django on it. Call once, before anything of the product is imported."""
    devservices.drop_database(DATABASE)
    devservices.create_database(DATABASE, template=TEMPLATE)
    devservices.empty_redis_db(devservices.redis_url(REDIS_DB))
    os.environ |= {
        "DATABASE_URL": devservices.database_url(DATABASE),
        "REDIS_URL": devservices.redis_url(REDIS_DB),
        "KAIPIAO_LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    import django

    django.setup()


def clear() -> None:
    """Leave nothing: a database that was measured in is of no use to anybody."""
    for name in (DATABASE, TEMPLATE):
        devservices.drop_database(name)


@dataclass(frozen=True, slots=True)
class House:
    """The show that is sold to its last seat, and the seconds that it took to write it."""

    seats: int
    seconds: float


@lru_cache(maxsize=1)
def sold_house() -> House:
    """39,000 seats, each in a paid order with its ticket, payment and ledger entry."""
    from django.utils import timezone

    from operations import seeding

    begun = time.perf_counter()
    show = seeding.seed_show(code=SOLD_SHOW, now=timezone.now())
    seeding.seed_sold(show=show, seats=SEATS, now=timezone.now())
    return House(SEATS, time.perf_counter() - begun)


def violations() -> list[str]:
    """What the product's audit finds in this database."""
    from django.utils import timezone

    from operations.audit import audit

    return [
        f"{result.check.name}: {wrong}" for result in audit(now=timezone.now()) for wrong in result.violations
    ]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import psycopg

    with psycopg.connect(devservices.database_url("postgres")) as connection:
        postgres = connection.info.parameter_status("server_version")
    cpu = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    memory = next(
        (int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0
    )
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgres": postgres,
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _commit() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
