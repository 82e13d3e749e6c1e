"""The buyers' limits of a batch, as sets: ticketing.phases.take_allowance for hundreds at once, in stream order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from django.db import connection

from basis import columns
from ticketing.rush.messages import Submission

Wanted = tuple[Submission, int, int]  # the submission, its phase, the phase's limit

# The row of a refused buyer stays locked too: the single steps below then wait for nobody and deadlock with nobody.
TAKE = """
INSERT INTO ticketing_allowance AS allowance (phase_id, buyer_id, taken)
SELECT %s, d.buyer_id, d.quantity FROM unnest(%s::bigint[], %s::int[]) AS d(buyer_id, quantity) ORDER BY d.buyer_id
ON CONFLICT (phase_id, buyer_id) DO UPDATE SET taken = allowance.taken + excluded.taken
WHERE allowance.taken + excluded.taken <= %s
RETURNING buyer_id
"""
ONE = """
UPDATE ticketing_allowance SET taken = taken + %s WHERE phase_id = %s AND buyer_id = %s AND taken + %s <= %s
"""
BACK = """
UPDATE ticketing_allowance allowance SET taken = allowance.taken - d.quantity
  FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS d(phase_id, buyer_id, quantity)
 WHERE allowance.phase_id = d.phase_id AND allowance.buyer_id = d.buyer_id
"""


def take(wanted: Sequence[Wanted]) -> set[str]:
    """Count every submission against its buyer's limit, in the caller's transaction; the order numbers refused."""
    refused: set[str] = set()
    for phase_id, limit in sorted({(phase_id, limit) for _, phase_id, limit in wanted}):
        by_buyer: dict[int, list[Submission]] = defaultdict(list)
        for one, its, _ in wanted:
            if its == phase_id:
                by_buyer[one.buyer_id].append(one)
        refused |= _take(by_buyer, phase_id, limit)
    return refused


def _take(by_buyer: dict[int, list[Submission]], phase_id: int, limit: int) -> set[str]:
    sums = {buyer: sum(one.quantity for one in ones) for buyer, ones in by_buyer.items()}
    # A sum above the limit takes nothing yet and locks its row.
    asked = {buyer: total if total <= limit else 0 for buyer, total in sums.items()}
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [phase_id, columns.wholes(asked), columns.wholes(asked.values()), limit])
        counted = {buyer for (buyer,) in cursor.fetchall() if asked[buyer]}
        refused = set()
        for buyer in by_buyer.keys() - counted:
            ones = by_buyer[buyer]
            for one in ones:
                # Alone and refused as a sum is refused; of several, each has its own chance, the first one first.
                alone = len(ones) == 1 and one.quantity <= limit
                if not alone:
                    cursor.execute(ONE, [one.quantity, phase_id, buyer, one.quantity, limit])
                if alone or cursor.rowcount != 1:
                    refused.add(one.number)
    return refused


def give_back(unlucky: Sequence[tuple[Submission, int]]) -> None:
    """These got no seats after all: they do not count."""
    if not unlucky:
        return
    sums: dict[tuple[int, int], int] = defaultdict(int)
    for one, phase_id in unlucky:
        sums[phase_id, one.buyer_id] += one.quantity
    with connection.cursor() as cursor:
        cursor.execute(BACK, [[key[0] for key in sums], [key[1] for key in sums], list(sums.values())])
