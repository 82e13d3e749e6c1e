import argparse
import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from operations import processes, stack
from operations.devservices.console import EXPECTED_ERRORS


class Command(BaseCommand):
    help = "The whole product as one process tree: run (until Ctrl-C), status (exit 1 when down), stop."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=["run", "status", "stop"])
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")
        parser.add_argument("--database", help="another database than the product's own; made if missing")
        parser.add_argument("--redis-db", type=int, help="another numbered Redis database")
        parser.add_argument(
            "--with",
            dest="extras",
            default="possible",
            help=f"of {', '.join(stack.EXTRAS)}, with commas; none; or possible: those that this machine can run"
            " (default: %(default)s)",
        )
        parser.add_argument(
            "--state-dir", type=Path, help="where keys, books, ports and logs live; one stack each"
        )

    def handle(self, *, action: str, state_dir: Path | None, as_json: bool, **options: Any) -> None:
        try:
            if action == "run":
                self._run(
                    stack.Stack(
                        state_dir=state_dir,
                        database=options["database"],
                        redis_db=options["redis_db"],
                        extras=_extras(options["extras"]),
                    )
                )
            elif action == "stop":
                stopped = stack.stop_running(state_dir=state_dir)
                self.stdout.write("stopped" if stopped else "no stack runs")
            else:
                self._status(stack.running_stack(state_dir=state_dir), as_json=as_json)
        except (stack.StackError, processes.StillRunning, *EXPECTED_ERRORS) as error:
            raise CommandError(str(error)) from error

    def _run(self, made: stack.Stack) -> None:
        asked_to_end = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: asked_to_end.set())
        with made as running:
            self._status(running.info(), as_json=False)
            self.stdout.write("Ctrl-C ends it.")
            self.stdout.flush()
            asked_to_end.wait()

    def _status(self, info: stack.StackInfo | None, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"up": info is not None, **(asdict(info) if info else {})}))
        elif info is None:
            self.stdout.write("no stack runs")
        else:
            self.stdout.write(f"Shop     {info.url}\nChannels {info.sandbox_url}")
            for name, program in info.programs.items():
                self.stdout.write(
                    f"{name:<8} pid {program.pid}, started again {program.restarts} times, {program.log}"
                )
        if info is None:
            raise SystemExit(1)


def _extras(text: str) -> tuple[str, ...]:
    if text == "possible":
        return stack.possible_extras()
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    names = () if names == ("none",) else names
    if unknown := sorted(set(names) - set(stack.EXTRAS)):
        raise CommandError(f"--with knows {', '.join(stack.EXTRAS)}, not {', '.join(unknown)}")
    return names
