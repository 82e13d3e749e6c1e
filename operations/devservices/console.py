"""The words of `devservices up|down|status|reset`, by `manage.py` or `python -m operations.devservices`."""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

from operations import processes
from operations.devservices import launch, places, together, wheels

ACTIONS: dict[str, Callable[[], together.Report]] = {
    "up": together.up,
    "down": together.down,
    "status": together.status,
    "reset": together.reset,
}
EXPECTED_ERRORS = (
    launch.NotStarted,
    places.Unsafe,
    processes.StillRunning,
    together.LockTimeout,
    wheels.MissingServer,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=list(ACTIONS))
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")


def perform(*, action: str, as_json: bool) -> tuple[str, int]:
    """Do it; what to print, and the exit status: 1 when `status` finds something down, else 0."""
    report = ACTIONS[action]()
    text = json.dumps(report) if as_json else "\n".join(_lines(report))
    return text, 0 if report["up"] or action != "status" else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Without Django, so that a broken settings file never keeps services from being ended."""
    parser = argparse.ArgumentParser(prog="devservices", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        text, code = perform(action=options.action, as_json=options.as_json)
    except EXPECTED_ERRORS as error:
        parser.exit(1, f"devservices: {error}\n")
    print(text)
    return code


def _lines(report: dict[str, Any]) -> list[str]:
    return [_line("Postgres", report["postgres"]), _line("Valkey", report["valkey"])]


def _line(name: str, facts: dict[str, Any]) -> str:
    state = "up" if facts["up"] else "down"
    if not facts["managed"]:
        return f"{name:<9} {state:<5} external{_said(facts)}, not managed here"
    if not facts["up"]:
        return f"{name:<9} {state}"
    return f"{name:<9} {state:<5} {facts['version']}, pid {facts['pid']}, {facts['url']}"


def _said(facts: dict[str, Any]) -> str:
    return f" {facts['version']}" if facts["version"] else ""
