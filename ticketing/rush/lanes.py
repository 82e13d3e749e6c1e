"""
One drainer a tier: a lease in Postgres with a fence number that grows with every taking.

A drainer that slept through its lease finds another fence in the row and changes nothing: every batch checks and
prolongs the lease in its own transaction, and keeps the row locked until it commits.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import OperationalError, connection

LEASE = timedelta(seconds=6)


class LaneLost(Exception):
    """Another drainer has the tier by now; the caller's transaction must roll back."""


TAKE = """
INSERT INTO ticketing_rushlane AS lane (tier_id, worker, fence, lease_until) VALUES (%(tier)s, %(worker)s, 1, %(until)s)
ON CONFLICT (tier_id) DO UPDATE SET worker = excluded.worker, fence = lane.fence + 1, lease_until = excluded.lease_until
WHERE lane.lease_until <= %(now)s OR lane.worker = excluded.worker
RETURNING fence
"""


def take(tier_id: int, *, worker: str, now: datetime) -> int | None:
    """Take a free lane, or one's own again; its fence number, None while another drainer has it."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE, {"tier": tier_id, "worker": worker, "until": now + LEASE, "now": now})
        row = cursor.fetchone()
    return row[0] if row else None


def lost_a_race(error: OperationalError) -> bool:
    """Whether Postgres chose this transaction to break a deadlock or a wait: doing it again is all that it takes."""
    return getattr(error.__cause__, "sqlstate", "") in ("40P01", "40001", "55P03")


# A batch looks some hundred rows up by their keys, in tables that are in memory. Told that a page by its key costs four
# times what the next page does, Postgres reads all 80,000 wallets for each batch instead.
LOOK_UP = "SELECT set_config('random_page_cost', '1.1', true)"


def keep(tier_id: int, *, fence: int, now: datetime) -> None:
    """
    Prolong the lease in the caller's transaction, which is a batch's.

    :raises LaneLost: see there
    """
    with connection.cursor() as cursor:
        cursor.execute(LOOK_UP)
        cursor.execute(
            "UPDATE ticketing_rushlane SET lease_until = %s WHERE tier_id = %s AND fence = %s",
            [now + LEASE, tier_id, fence],
        )
        if cursor.rowcount != 1:
            raise LaneLost(tier_id)


def leave(tier_id: int, *, fence: int, now: datetime) -> None:
    """Let another drainer take the tier at once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ticketing_rushlane SET lease_until = %s WHERE tier_id = %s AND fence = %s",
            [now, tier_id, fence],
        )
