"""
`python -m benchmarks [NAME …]`: measure, print a table, write `benchmarks/results/latest.json`.

Every run (a module's figures, mostly) is a process of its own on a database of its own: what one leaves behind, rows or
memory, is not measured by the next, and one that fails does not take the others with it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks import ground
from benchmarks.figures import MEASURES, RUNS, WHEN_NAMED, Figure

RESULTS = ground.ROOT / "benchmarks" / "results" / "latest.json"
ROWS = RESULTS.with_name("rows.jsonl")


def main() -> int:
    _load_all()
    asked = _asked()
    if asked.rows:
        return _measure_here(asked.figures, rows=asked.rows)
    return _measure_each(asked.figures)


def _measure_here(names: list[str], *, rows: Path) -> int:
    """The figures of one run, in this process; a line of JSON for each at the end of `rows`."""
    ground.enter()
    for name in names:
        begun = time.perf_counter()
        row = json.dumps(MEASURES[name]().row(), ensure_ascii=False)
        with rows.open("a") as file:
            file.write(row + "\n")
        print(f"{name}: {row}, {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
    return 0


def _measure_each(names: list[str]) -> int:
    begun = time.perf_counter()
    machine = ground.machine()
    ROWS.parent.mkdir(exist_ok=True)
    ROWS.unlink(missing_ok=True)
    failed: list[str] = []
    ground.lay()
    try:
        for run, of_it in RUNS.items():
            if wanted := [name for name in of_it if name in names]:
                print(f"{run} …", file=sys.stderr, flush=True)
                command = [sys.executable, "-m", "benchmarks", "--rows", str(ROWS), *wanted]
                if subprocess.run(command, cwd=ground.ROOT, check=False).returncode != 0:
                    failed.append(run)
                # At once: whoever ends this early keeps what was measured.
                _write(machine, failed=failed)
    finally:
        ground.clear()
    figures = [_figure(row) for row in _rows()]
    ROWS.unlink(missing_ok=True)
    Console().print(_table(figures))
    minutes, seconds = divmod(round(time.perf_counter() - begun), 60)
    print(
        f"{len(figures)} figures in {minutes} min {seconds} s"
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed or any(figure.ok is False for figure in figures) else 0


def _load_all() -> None:
    """Import every module `of_…` of this package, so that its figures register."""
    for found in pkgutil.iter_modules(benchmarks.__path__):
        if found.name.startswith("of_"):
            importlib.import_module(f"benchmarks.{found.name}")


def _asked() -> argparse.Namespace:
    """`figures`: what to measure, by name; `rows`: where to, when it is this process that measures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the product on this machine."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which: {', '.join(MEASURES)}; without, all but {', '.join(sorted(WHEN_NAMED))}",
    )
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="the same as a NAME")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    wanted = [*asked.names, *asked.only] or [name for name in MEASURES if name not in WHEN_NAMED]
    # `reconcile` asks for `reconcile_memory` too: figures of one name are measured together.
    of = {name: [each for each in MEASURES if each == name or each.startswith(f"{name}_")] for name in wanted}
    unknown = [name for name, found in of.items() if not found]
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    asked.figures = list(dict.fromkeys(each for found in of.values() for each in found))
    return asked


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def _figure(row: dict[str, Any]) -> Figure:
    return Figure(**{name: row[name] for name in ("name", "value", "unit", "ceiling", "bar", "facts")})


def _write(machine: dict[str, Any], *, failed: list[str]) -> None:
    told = {"machine": machine, "figures": _rows(), "failed": failed}
    RESULTS.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def _table(figures: list[Figure]) -> Table:
    table = Table(
        "figure", "value", "unit", "ceiling", "ratio", "bar", "ok", "more", title="Kaipiao, measured"
    )
    for figure in figures:
        verdict = {True: "yes", False: "NO", None: ""}[figure.ok]
        more = ", ".join(f"{name} {value}" for name, value in figure.facts.items())
        shown = [f"{number:,.1f}" if number is not None else "" for number in (figure.value, figure.ceiling)]
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        bar = "" if figure.bar is None else f"{figure.bar:g}"
        table.add_row(figure.name, shown[0], figure.unit, shown[1], ratio, bar, verdict, more)
    return table


if __name__ == "__main__":
    sys.exit(main())
