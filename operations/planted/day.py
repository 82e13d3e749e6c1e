"""The plan of a planted day: which payment or refund carries which difference."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from operations.planted import books, file, kinds
from operations.planted.kinds import REFUND_EVERY


@dataclass(frozen=True)
class Planted:
    """
    A planted day of Alipay. `path` is the day's file, `next_path` the next day's, in which one kind of crossing
    payments is listed. `expected` is what comparing the first finds, as (class, number); after comparing the second,
    `lost` of the carried ones are missing and the others match.
    """

    day: date
    path: Path
    next_path: Path
    lines: int
    expected: frozenset[tuple[str, str]] = field(repr=False)
    lost: frozenset[str] = field(repr=False)
    kinds: int = len(kinds.PAYMENTS) + len(kinds.REFUNDS)


def plant(*, lines: int, day: date, folder: Path, now: datetime, of_each: int = 0) -> Planted:
    """
    Write at least `lines` payments and refunds of `day` (10⁴ and more; fewer with a small `of_each`) to our books,
    paid at Alipay, and the channel's files to `folder`, with `of_each` differences of each kind.
    """
    of_each = of_each or max(3, lines // 10_000)
    # More are not listed than are listed twice, by one of each kind.
    refunds = -(-(lines + of_each) // (REFUND_EVERY + 1))
    payments = refunds * REFUND_EVERY
    odd = _spread([*kinds.PAYMENTS, *kinds.RIGHT_PAYMENTS], payments, of_each, REFUND_EVERY, 7)
    odd_refunds = _spread([*kinds.REFUNDS, *kinds.RIGHT_REFUNDS], refunds, of_each, 1, 0)
    plan = file.Plan(day, payments, refunds, odd, odd_refunds)
    books.write(plan, now=now)
    path, next_path = folder / f"{day}.zip", folder / f"{day + timedelta(days=1)}.zip"
    written = file.write(plan, path)
    file.write_next(plan, next_path)
    return Planted(day, path, next_path, written, frozenset(_expected(plan)), frozenset(_lost(plan)))


def _spread(names: list[str], things: int, of_each: int, grid: int, at: int) -> dict[int, str]:
    """`of_each` of every name, evenly over 1…things, on places that are `at` modulo `grid` (refunded ones are 0)."""
    stride = things // (len(names) * of_each + 1) // grid * grid
    if not stride:
        raise ValueError(f"{things} things are too few for {of_each} of {len(names)} kinds")
    return {
        (nth * len(names) + place + 1) * stride + at: name
        for nth in range(of_each)
        for place, name in enumerate(names)
    }


def _expected(plan: file.Plan) -> set[tuple[str, str]]:
    paid, back = kinds.PAYMENTS, kinds.REFUNDS
    found = {(paid[name], plan.payment(nth)) for nth, name in plan.odd.items() if name in paid}
    return found | {(back[name], plan.refund(nth)) for nth, name in plan.odd_refunds.items() if name in back}


def _lost(plan: file.Plan) -> set[str]:
    return {plan.payment(nth) for nth, name in plan.odd.items() if name == kinds.CROSSING[1]}
