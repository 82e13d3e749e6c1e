"""
The distributed limiter: at most `limit` passes per window and key, decided atomically in the fast store by
`risk/lua/limit.lua`, the file that nginx runs too.

Several rules are asked in one call; a request passes only if every one lets it, and only then is it counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from basis import fast
from basis.scripts import Script

LIMIT = Script(Path(__file__).parent / "lua" / "limit.lua")


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` requests per `window_ms` for `subject` (a show, a buyer, an address) in `scope`."""

    scope: str
    subject: str
    limit: int
    window_ms: int = 1000

    def key(self, tag: str) -> str:
        # Two windows for one subject are two counters.
        return f"limit:{{{tag}}}:{self.scope}:{self.window_ms}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Whether the request passed; if not, which rule refused it and when to try again. `index`: of that rule, or of the
    one that leaves the least, among those that were asked.
    """

    passed: bool
    refused_by: str = ""
    index: int = 0
    retry_after_ms: int = 0
    remaining: int = 0
    at_ms: int = 0  # the store's clock when it decided


def ask(tag: str, rules: Sequence[Rule], *, open_if_away: bool) -> Answer:
    """
    Ask all rules at once. `tag` is the hash tag that their keys share (the show's code).

    With the store away the answer is `open_if_away`: reads stay open, orders are closed.
    """
    if not rules:
        return Answer(True)
    args: list[str | int | float | bytes] = []
    for rule in rules:
        args += [rule.limit, rule.window_ms]
    try:
        told = LIMIT.run(keys=[rule.key(tag) for rule in rules], args=args)
    except fast.FastStoreAway:
        return Answer(True) if open_if_away else Answer(False, "store_away", retry_after_ms=1000)
    passed, index, retry_ms, remaining, at_ms = map(int, told.split())
    if passed:
        return Answer(True, index=index - 1, remaining=remaining, at_ms=at_ms)
    return Answer(False, rules[index - 1].scope, index - 1, retry_ms, at_ms=at_ms)
