import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from payments.statement_models import Statement, StatementKind, StatementSource
from payments.statements import fetch, formats, load
from payments.statements.load import Wanted
from payments.statements.shape import Refused

LINES_EVERY_S = 2.0


class Command(BaseCommand):
    help = (
        "Load a channel's statement from its file, whole or not at all. A refusal names the line. Beat compares it "
        "with our books; `manage.py reconcile` does at once."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="as the channel gave it: zip, gzip or CSV")
        parser.add_argument("--day", type=date.fromisoformat, required=True, help="e.g. 2026-11-20")
        parser.add_argument(
            "--channel", choices=sorted({form.channel for form in formats.FORMATS}), help="else the file says"
        )
        parser.add_argument("--kind", choices=StatementKind.values, help="else the file says")
        parser.add_argument(
            "--replace", action="store_true", help="in the place of the statement that is loaded for this day"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    @no_translations
    def handle(
        self,
        *,
        file: Path,
        day: date,
        channel: str | None,
        kind: str | None,
        replace: bool,
        as_json: bool,
        **_others: Any,
    ) -> None:
        wanted = Wanted(day=day, channel=channel or "", kind=kind or "", merchants=fetch.merchants())
        began = time.perf_counter()
        try:
            with file.open("rb") as opened, _progress(file.name, quiet=as_json) as told:
                statement = load.load(
                    opened,
                    wanted=wanted,
                    source=StatementSource.UPLOADED,
                    now=timezone.now(),
                    by=getpass.getuser(),
                    replace=replace,
                    told=told,
                )
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror or error}") from error
        except Refused as error:
            if as_json:
                refused = {"refused": error.reason, "line": error.line, "detail": error.detail}
                self.stdout.write(json.dumps(refused, ensure_ascii=False))
            raise CommandError(f"{file.name} is refused. {error.said()}") from error
        facts = _facts(statement) | {"seconds": round(time.perf_counter() - began, 1)}
        self.stdout.write(json.dumps(facts, ensure_ascii=False) if as_json else _line(facts))


def _facts(statement: Statement) -> dict[str, Any]:
    totals = statement.totals
    return {
        "statement": statement.pk,
        "channel": statement.channel,
        "kind": statement.kind,
        "day": str(statement.day),
        "lines": statement.lines,
        "sha256": statement.sha256,
        "covers": totals["covers"],
        "totals": {name: sums for name, sums in totals.items() if isinstance(sums, dict) and "count" in sums},
        "joined": totals.get("joined"),
    }


def _line(facts: dict[str, Any]) -> str:
    sums = ", ".join(
        f"{sums['count']} {name} {sums['amount_minor'] / 100:,.2f}" for name, sums in facts["totals"].items()
    )
    return (
        f"{facts['channel']} {facts['kind']} {facts['day']}: {facts['lines']} lines loaded in {facts['seconds']} s"
        f" ({sums or 'nothing happened'})"
    )


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Rows as they are read: a line that moves on a terminal, plain lines in a pipe."""
    if quiet:
        yield lambda _rows: None
    elif sys.stderr.isatty():
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(name)
            yield lambda rows: bar.update(task, description=f"{name}: {rows:,} lines")
    else:
        yield _Lines(name)


class _Lines:
    """A line every two seconds."""

    def __init__(self, name: str) -> None:
        self._name, self._said_at = name, time.monotonic()

    def __call__(self, rows: int) -> None:
        if time.monotonic() - self._said_at >= LINES_EVERY_S:
            self._said_at = time.monotonic()
            print(f"{self._name}: {rows:,} lines", file=sys.stderr, flush=True)
