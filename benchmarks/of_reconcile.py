"""
A day of statement lines with planted differences, from the file on disk to the discrepancies: how long, how much memory
the process takes, and whether the time grows faster than the lines. Each size is a process of its own, so that its
greatest resident memory is that of one load and one run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks import ground
from benchmarks.figures import Figure, benchmark

SIZES = (10_000, 100_000, 1_000_000)
FIRST_DAY = date(2026, 10, 1)
BAR_S, BAR_MB, BAR_GROWTH = 60, 300, 1.1


@lru_cache(maxsize=1)
def measured() -> dict[int, dict[str, Any]]:
    """By lines: what the day's process told. A day of each size, the largest last."""
    from django.conf import settings

    with tempfile.TemporaryDirectory(prefix="kaipiao-statements-") as folder:
        return {
            lines: _day(lines, FIRST_DAY + timedelta(days=3 * place), Path(folder), settings.DATABASE_URL)
            for place, lines in enumerate(SIZES)
        }


def _day(lines: int, day: date, folder: Path, url: str) -> dict[str, Any]:
    from django.utils import timezone

    from operations import planted

    made = planted.plant(lines=lines, day=day, folder=folder, now=timezone.now())
    _at_rest()
    command = [sys.executable, "-m", "benchmarks.reconcile_day", str(made.path), str(day)]
    environment = {**os.environ, "DATABASE_URL": url, "KAIPIAO_STATEMENTS_DIR": str(folder / "kept")}
    done = subprocess.run(
        command, cwd=ground.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    found = _found(day)
    assert found == made.expected, f"{len(made.expected - found)} missed, {len(found - made.expected)} false"
    return {**told, "lines": made.lines, "planted": len(made.expected), "kinds": made.kinds}


def _at_rest() -> None:
    """The books of a day were not all written a second ago: the server has tidied up after them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


def _found(day: date) -> set[tuple[str, str]]:
    from payments.models import Discrepancy

    return set(Discrepancy.objects.filter(day=day).values_list("klass", "number"))


@benchmark("reconcile")
def reconcile() -> Figure:
    """Seconds from the file of a million lines on disk to its discrepancies."""
    told = measured()[SIZES[-1]]
    facts = {name: told[name] for name in ("lines", "kinds", "planted", "load_s", "compare_s")}
    return Figure("reconcile", told["seconds"], "s", bar=BAR_S, facts=facts | {"found": "all, none false"})


@benchmark("reconcile_memory")
def reconcile_memory() -> Figure:
    """The greatest resident memory of that process, in MB."""
    told = measured()
    facts = {f"mb_at_{lines}": told[lines]["resident_mb"] for lines in SIZES}
    return Figure("reconcile_memory", told[SIZES[-1]]["resident_mb"], "MB", bar=BAR_MB, facts=facts)


@benchmark("reconcile_growth")
def reconcile_growth() -> Figure:
    """Time a line at a million lines over time a line at a hundred thousand."""
    told = measured()
    each = {lines: told[lines]["seconds"] / told[lines]["lines"] for lines in SIZES}
    facts = {f"s_at_{lines}": told[lines]["seconds"] for lines in SIZES}
    growth = each[SIZES[-1]] / each[SIZES[-2]]
    return Figure("reconcile_growth", growth, "times", bar=BAR_GROWTH, facts=facts)
