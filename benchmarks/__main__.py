"""`python -m benchmarks [NAME …]`: measure, print a table, write `benchmarks/results/latest.json`."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks import ground
from benchmarks.figures import MEASURES, Figure

RESULTS = ground.ROOT / "benchmarks" / "results" / "latest.json"


def main() -> int:
    _load_all()
    names = _asked()
    ground.prepare()
    told: dict[str, Any] = {"machine": ground.machine(), "figures": []}
    figures: list[Figure] = []
    try:
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            begun = time.perf_counter()
            figures.append(MEASURES[name]())
            # At once: a later one that fails does not take the earlier ones with it.
            told["figures"].append(figures[-1].row())
            _write(told)
            took = f"{time.perf_counter() - begun:.1f} s"
            print(f"{name}: {json.dumps(told['figures'][-1])}, {took}", file=sys.stderr, flush=True)
    finally:
        ground.clear()
    Console().print(_table(figures))
    return 1 if any(figure.ok is False for figure in figures) else 0


def _load_all() -> None:
    """Import every module `of_…` of this package, so that its figures register."""
    for found in pkgutil.iter_modules(benchmarks.__path__):
        if found.name.startswith("of_"):
            importlib.import_module(f"benchmarks.{found.name}")


def _asked() -> list[str]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the product on this machine."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(MEASURES)}; all without")
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="the same as a NAME")
    asked = parser.parse_args()
    wanted = [*asked.names, *asked.only] or list(MEASURES)
    # `reconcile` asks for `reconcile_memory` too: figures of one name are measured together.
    of = {name: [each for each in MEASURES if each == name or each.startswith(f"{name}_")] for name in wanted}
    unknown = [name for name, found in of.items() if not found]
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    return list(dict.fromkeys(each for found in of.values() for each in found))


def _write(told: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
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
