"""`python -m benchmarks.reconcile_day FILE DAY`: load a statement and compare its day; tells seconds and memory."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from payments.reconcile.run import reconcile
    from payments.statement_models import StatementSource
    from payments.statements.load import Wanted, load

    path, day = Path(sys.argv[1]), date.fromisoformat(sys.argv[2])
    begun = time.perf_counter()
    with path.open("rb") as file:
        load(file, wanted=Wanted(day=day), source=StatementSource.UPLOADED, now=datetime.now(UTC))
    loaded = time.perf_counter()
    reconcile(channel="alipay", day=day, now=_the_next_morning(day))
    ended = time.perf_counter()
    told = {
        "seconds": round(ended - begun, 3),
        "load_s": round(loaded - begun, 3),
        "compare_s": round(ended - loaded, 3),
        "resident_mb": round(_most_resident_kb() / 1000, 1),
    }
    print(json.dumps(told))


def _most_resident_kb() -> int:
    """Of this program alone: `getrusage` also counts what was resident before the exec, which is the parent's."""
    [line] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    ]
    return int(line.split()[1])


def _the_next_morning(day: date) -> datetime:
    """Crossing payments are carried for some days: the run takes place on its own morning."""
    return datetime(day.year, day.month, day.day, 23, tzinfo=UTC)


if __name__ == "__main__":
    main()
