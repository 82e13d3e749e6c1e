import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from operations import doctor
from operations.doctor import Finding, Level

MARKS = {Level.OK: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.FAILURE: "[bold red]✗[/]"}


class Command(BaseCommand):
    help = "Is everything in place to sell? Exit 1 on any failure, 0 with warnings; each finding says what to do."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, as_json: bool, **_others: Any) -> None:
        findings = list(doctor.examine())
        failed = any(finding.level == Level.FAILURE for finding in findings)
        if as_json:
            listed = [{"what": f.what, "level": f.level, "found": f.found, "do": f.do} for f in findings]
            self.stdout.write(json.dumps({"ok": not failed, "findings": listed}, ensure_ascii=False))
        elif sys.stdout.isatty():
            _table(findings)
        else:
            self.stdout.write("\n".join(_lines(findings)))
        if failed:
            raise SystemExit(1)


def _lines(findings: Iterable[Finding]) -> Iterable[str]:
    for finding in findings:
        yield f"{finding.level:<8} {finding.what:<22} {finding.found}"
        if finding.do:
            yield f"{'':<8} {'':<22} → {finding.do}"


def _table(findings: Iterable[Finding]) -> None:
    table = Table(box=None, show_header=False)
    for finding in findings:
        told = escape(finding.found) + (f"\n[bold]→ {escape(finding.do)}[/]" if finding.do else "")
        table.add_row(MARKS[finding.level], finding.what, told)
    Console().print(table)
