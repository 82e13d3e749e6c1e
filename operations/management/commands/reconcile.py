import argparse
import json
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from payments.reconcile import due, run


class Command(BaseCommand):
    help = "Compare channels' statements with our books and the ledger; without a day, every statement that waits."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--channel", help="alipay, wechat, …")
        parser.add_argument("--day", type=date.fromisoformat, help="the statement's day, e.g. 2026-11-20")
        parser.add_argument("--dry-run", action="store_true", help="tell what would be found, keep nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object a day")

    def handle(
        self, *, channel: str | None, day: date | None, dry_run: bool, as_json: bool, **_others: Any
    ) -> None:
        if bool(channel) != bool(day):
            raise CommandError("Name both --channel and --day, or neither.")
        asked = [(channel, day)] if channel and day else due.due(limit=1000)
        for of, on in asked:
            try:
                counts = run.reconcile(channel=of, day=on, now=timezone.now(), dry_run=dry_run)
            except run.NoStatement as error:
                raise CommandError(f"No trade statement of {error} is loaded.") from error
            except run.Busy as error:
                raise CommandError(f"{error} is being reconciled right now.") from error
            told = {"channel": of, "day": str(on), **counts}
            self.stdout.write(json.dumps(told, ensure_ascii=False) if as_json else _line(told))


def _line(told: dict[str, Any]) -> str:
    found = ", ".join(f"{name} {number}" for name, number in sorted(told["found"].items())) or "nothing"
    return (
        f"{told['channel']} {told['day']}: {told['lines']} lines, {told['matched']} agree; found {found}; "
        f"{told['opened']} new, {told['settled_by_itself']} settled by themselves"
    )
