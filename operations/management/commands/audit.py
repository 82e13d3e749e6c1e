import argparse
import json
import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from rich.console import Console

from operations import audit
from operations.audit import report


class Command(BaseCommand):
    help = "Check the seven invariants on the database as it is now; exit 1 on any violation."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")
        parser.add_argument(
            "--grace",
            type=float,
            default=audit.GRACE.total_seconds(),
            help="how many seconds something may be overdue (default: %(default)s)",
        )

    def handle(self, *, as_json: bool, grace: float, **_others: Any) -> None:
        results = audit.audit(now=timezone.now(), grace=timedelta(seconds=grace))
        if as_json:
            self.stdout.write(json.dumps(report.as_json(results), ensure_ascii=False))
        elif sys.stdout.isatty():
            report.show(results, Console())
        else:
            self.stdout.write("\n".join(report.lines(results)))
        if not all(result.ok for result in results):
            raise SystemExit(1)
