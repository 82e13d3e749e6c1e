"""How much a settlement moves: pure arithmetic, in the currency's smallest unit."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Amounts:
    """What leaves the guarantee account, and how it is shared. Below zero it comes back."""

    gross_minor: int
    fee_minor: int

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.fee_minor


def fee_of(total_minor: int, fee_bps: int) -> int:
    """The platform's fee of a show's total, half a fen rounded up."""
    return (total_minor * fee_bps + WHOLE_BPS // 2) // WHOLE_BPS


def next_move(*, due_total_minor: int, moved_minor: int, fee_bps: int, available_minor: int) -> Amounts:
    """
    What is to be moved so that `moved_minor` becomes `due_total_minor`. What must come back comes back as far as the
    organiser has it (`available_minor`); the rest is owed. The fee is always that of what was moved in all, to the fen.
    """
    wanted = due_total_minor
    if wanted < moved_minor:
        wanted = _reachable(due_total_minor, moved_minor, fee_bps, available_minor)
    fee = fee_of(wanted, fee_bps) - fee_of(moved_minor, fee_bps)
    return Amounts(wanted - moved_minor, fee)


def _reachable(low: int, high: int, fee_bps: int, available_minor: int) -> int:
    """The least total from `low` on at which the organiser need not give back more than is available."""

    def net(total: int) -> int:
        return total - fee_of(total, fee_bps)

    most = net(high)
    while low < high:
        middle = (low + high) // 2
        if most - net(middle) <= available_minor:
            high = middle
        else:
            low = middle + 1
    return low
