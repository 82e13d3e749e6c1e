"""The incidents for people: a table on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from operations.incidents.verdict import Told

# What is shown of each incident; everything else is in --json.
SHOWN = {
    1: ("presses", "trades_at_the_channel", "server_errors", "reload_resumes_the_payment"),
    2: ("presses", "deductions", "valid_tickets", "answers_that_differ"),
    3: ("branch", "known_after_s", "told_after_s", "fen_kept_at_the_channels"),
    4: ("notifies_that_arrived", "learned_by_asking", "paid_after_s", "states_that_were_a_guess"),
    5: ("payments_that_won", "payments_refunded_by_themselves", "plot"),
}


def lines(results: Sequence[Told]) -> list[str]:
    """One line an incident, then one for every seed that was wrong."""
    out = []
    for result in results:
        mark = "right" if result.right else "WRONG"
        out.append(f"{mark}  {result.id}  {result.name}  {seeds(result)}  {facts(result)}")
        out += [f"       {line}" for line in wrong(result)]
    return out


def show(results: Sequence[Told], console: Console) -> None:
    table = Table(title="The five incidents, replayed", title_justify="left")
    table.add_column("")
    table.add_column("#", justify="right")
    table.add_column("incident", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    table.add_column("facts")
    for result in results:
        mark = "[green]✓[/]" if result.right else "[bold red]✗[/]"
        table.add_row(mark, str(result.id), result.name, seeds(result), facts(result))
        for line in wrong(result):
            table.add_row("", "", "", "", f"[red]{line}[/]")
    console.print(table)


def seeds(result: Told) -> str:
    return f"{result.facts['right_seeds']}/{result.facts['seeds']}"


def facts(result: Told) -> str:
    told = []
    for name in SHOWN[result.id]:
        key = next((key for key in (name, f"{name}_max") if key in result.facts), "")
        if key:
            told.append(f"{key.replace('_', ' ')} {_plain(result.facts[key])}")
    return ", ".join(told)


def wrong(result: Told) -> list[str]:
    return [
        f"seed {seed}: {reason}"
        for seed, reasons in result.facts.get("wrong", {}).items()
        for reason in reasons
    ]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " · ".join(f"{name} {count}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
