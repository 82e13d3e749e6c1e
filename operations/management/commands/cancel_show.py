"""What cancelling a show would do, and how far giving it back is. It decides nothing: that takes two at the desk."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress as Bar

from ticketing import cancel_sums, cancelling
from ticketing.cancel_models import CancellationState, ShowCancellation


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("show", help="the show's code")
        parser.add_argument("--dry-run", action="store_true", help="only look, also if the show is cancelled")
        parser.add_argument(
            "--follow", action="store_true", help="until all money is back, a line or bar a second"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object a look")

    def handle(self, *args: Any, **given: Any) -> None:
        try:
            seen = cancelling.preview(given["show"])
        except cancelling.NoSuchShow as error:
            raise CommandError(f"there is no show {error}") from error
        if seen.cancelled_at is None or given["dry_run"]:
            self._tell(seen.as_json(), as_json=given["json"])
        elif given["follow"]:
            self._follow(given["show"], as_json=given["json"])
        else:
            self._tell(self._progress(given["show"]).as_json(), as_json=given["json"])

    def _progress(self, code: str) -> cancel_sums.Progress:
        return cancel_sums.of(ShowCancellation.objects.select_related("show").get(show__code=code))

    def _follow(self, code: str, *, as_json: bool) -> None:
        with Bar(console=Console(), disable=as_json or not self.stdout.isatty(), transient=True) as bar:
            task = bar.add_task(code, total=None)
            while True:
                seen = self._progress(code)
                bar.update(task, total=max(seen.total, 1), completed=seen.back)
                if bar.disable:
                    self._tell(seen.as_json(), as_json=as_json)
                if seen.cancelled.state == CancellationState.DONE:
                    break
                time.sleep(1)
        if not bar.disable:
            self._tell(seen.as_json(), as_json=False)

    def _tell(self, facts: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
            return
        for name, value in facts.items():
            lines = value if isinstance(value, list) else [value]
            for line in lines:
                said = ", ".join(f"{k} {v}" for k, v in line.items()) if isinstance(line, dict) else line
                self.stdout.write(f"{name.replace('_', ' ')}: {said}")
