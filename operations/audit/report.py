"""How an audit is told: one JSON object, a table on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from operations.audit.checks import Result

INVARIANTS = {
    1: "A seat belongs to at most one live order",
    2: "Exactly one state, by allowed moves",
    3: "Paid means tickets; closed means money back",
    4: "One payment wins, the others go back",
    5: "The ledger balances",
    6: "The ledger says what the channels say",
    7: "Nothing rests without a next step",
}


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """
    `{"ok", "checks": [{"name", "ok", "checked", "violations"}]}`. Of more violations than are listed the last one
    says how many there are, in words and as `total`.
    """
    return {
        "ok": all(result.ok for result in results),
        "checks": [
            {
                "name": result.check.name,
                "ok": result.ok,
                "checked": result.checked,
                "violations": _violations(result),
            }
            for result in results
        ],
    }


def _violations(result: Result) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = [{"what": v.what, "why": v.why} for v in result.violations]
    if result.found > len(listed):
        more = f"{result.found} in all, the first {len(listed)} are listed"
        listed.append({"what": "more", "why": more, "total": result.found})
    return listed


def lines(results: Sequence[Result]) -> list[str]:
    """One line a check, then one a violation; for logs and pipes."""
    told = []
    for result in results:
        verdict = "ok" if result.ok else f"WRONG {result.found}"
        told.append(
            f"{verdict:<10} {result.check.name:<36} {result.checked:>9} checked  {result.seconds:.2f} s"
        )
        told += [f"           {found['what']}: {found['why']}" for found in _violations(result)]
    told.append(summary(results))
    return told


def summary(results: Sequence[Result]) -> str:
    wrong = [result for result in results if not result.ok]
    seconds = sum(result.seconds for result in results)
    if not wrong:
        return f"Clean: {len(results)} checks in {seconds:.1f} s."
    found = sum(result.found for result in wrong)
    return f"{found} violations in {len(wrong)} of {len(results)} checks, in {seconds:.1f} s."


def show(results: Sequence[Result], console: Console) -> None:
    """The table for people at a terminal."""
    table = Table(title="Audit", title_justify="left", show_lines=False)
    table.add_column("")
    table.add_column("check", no_wrap=True)
    table.add_column("what must hold")
    table.add_column("checked", justify="right")
    last = 0
    for result in results:
        if result.check.invariant != last:
            last = result.check.invariant
            table.add_section()
            table.add_row("", f"[bold]{last}[/]", f"[bold]{INVARIANTS[last]}[/]", "")
        mark = "[green]✓[/]" if result.ok else "[bold red]✗[/]"
        table.add_row(mark, result.check.name, result.check.says, f"{result.checked:,}")
        for found in _violations(result):
            table.add_row("", "", f"[red]{found['what']}[/]: {found['why']}", "")
    console.print(table)
    console.print(summary(results), style="green" if all(result.ok for result in results) else "bold red")
