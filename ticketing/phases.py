"""Who may buy now, and how many: the sale phase in force, its eligibility, and the buyer's allowance in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection

from accounts.models import User
from basis import columns, prepared
from basis.built import Built
from ticketing.models import Invitation, SalePhase


class NotOnSale(Exception):
    """No phase of the show is open. `opens_at` is when the next one opens, None if there is none."""

    def __init__(self, opens_at: datetime | None) -> None:
        super().__init__(opens_at)
        self.opens_at = opens_at


class SaleStopped(Exception):
    """Staff have stopped the sale of the show for now (risk.switches); nothing was taken."""


class NotEligible(Exception):
    """The phase is not for this buyer. `rule` is the eligibility that failed."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class LimitReached(Exception):
    """The buyer would have more seats than the phase allows. `limit` is the phase's, `left` what may still be taken."""

    def __init__(self, limit: int, left: int) -> None:
        super().__init__(limit)
        self.limit, self.left = limit, left


PHASE = Built(SalePhase, alias="phase")
COMING = f"""
SELECT {PHASE.columns} FROM ticketing_salephase phase
 WHERE show_id = %s AND closes_at > %s ORDER BY opens_at LIMIT 1
"""  # noqa: S608 (names of our own model)


def open_phase(show_id: int, *, now: datetime) -> SalePhase:
    """
    The phase that is open now.

    :raises NotOnSale: see there
    """
    found = prepared.row(COMING, [show_id, now])
    coming = PHASE.of(found) if found else None
    if coming is None or coming.opens_at > now:
        raise NotOnSale(coming.opens_at if coming else None)
    return coming


def check_eligible(phase: SalePhase, buyer: User, *, now: datetime) -> None:
    """
    :raises NotEligible: see there
    """
    match phase.eligibility:
        case SalePhase.Eligibility.EVERYONE:
            return
        case SalePhase.Eligibility.INVITED:
            welcome = Invitation.objects.filter(phase=phase, buyer=buyer).exists()
        case SalePhase.Eligibility.ACCOUNT_AGE:
            welcome = buyer.joined_at <= now - timedelta(days=phase.account_age_days)
        case _:
            welcome = False
    if not welcome:
        raise NotEligible(phase.eligibility)


TAKE = """
INSERT INTO ticketing_allowance AS allowance (phase_id, buyer_id, taken) VALUES (%(phase)s, %(buyer)s, %(n)s)
ON CONFLICT (phase_id, buyer_id) DO UPDATE SET taken = allowance.taken + excluded.taken
WHERE allowance.taken + excluded.taken <= %(limit)s
"""


def take_allowance(phase: SalePhase, buyer_id: int, quantity: int) -> None:
    """
    Count seats against the buyer's limit, in the caller's transaction.

    :raises LimitReached: see there
    """
    if quantity <= phase.per_buyer_limit:
        with prepared.cursor() as cursor:
            cursor.execute(
                TAKE, {"phase": phase.pk, "buyer": buyer_id, "n": quantity, "limit": phase.per_buyer_limit}
            )
            if cursor.rowcount == 1:
                return
    raise LimitReached(phase.per_buyer_limit, phase.per_buyer_limit - taken(phase.pk, buyer_id))


def taken(phase_id: int, buyer_id: int) -> int:
    """How many seats the buyer has in live orders of the phase."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT taken FROM ticketing_allowance WHERE phase_id = %s AND buyer_id = %s",
            [phase_id, buyer_id],
        )
        row = cursor.fetchone()
    return row[0] if row else 0


# Locked by phase and buyer, as a batch of the rush takes them, so that the two never wait for each other in a circle.
LESS = """, mine AS (
  SELECT allowance.id, gone.quantity
    FROM ticketing_allowance allowance
    JOIN gone ON gone.phase_id = allowance.phase_id AND gone.buyer_id = allowance.buyer_id
   ORDER BY allowance.phase_id, allowance.buyer_id FOR NO KEY UPDATE OF allowance
)
UPDATE ticketing_allowance allowance SET taken = allowance.taken - mine.quantity
  FROM mine WHERE allowance.id = mine.id
"""

GIVE_BACK = """
WITH gone AS (
  SELECT phase_id, buyer_id, sum(quantity - (
           SELECT count(*) FROM ticketing_refundrequest request
             JOIN ticketing_refundedseat seat ON seat.request_id = request.id WHERE request.order_id = o.id
         )) AS quantity
    FROM ticketing_order o WHERE id = ANY(%s) GROUP BY phase_id, buyer_id
)"""


def give_back_allowance(order_ids: list[int]) -> None:
    """The orders' seats no longer count against their buyers' limits; those given back before do not already."""
    with connection.cursor() as cursor:
        cursor.execute(GIVE_BACK + LESS, [order_ids])


def give_back_some(phase_id: int, buyer_id: int, quantity: int) -> None:
    """So many seats of the buyer's no longer count against his limit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ticketing_allowance SET taken = taken - %s WHERE phase_id = %s AND buyer_id = %s",
            [quantity, phase_id, buyer_id],
        )


GIVE_BACK_MANY = """
WITH gone AS (
  SELECT phase_id, buyer_id, sum(quantity) AS quantity
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS given(phase_id, buyer_id, quantity)
   GROUP BY phase_id, buyer_id
)"""


def give_back_many(given: Iterable[tuple[int, int, int]]) -> None:
    """For each (phase, buyer, quantity): so many seats no longer count against the buyer's limit."""
    rows = list(given)
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(
                GIVE_BACK_MANY + LESS, [columns.wholes(column) for column in zip(*rows, strict=True)]
            )
