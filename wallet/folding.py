"""
Hot accounts (guarantee, clearing, fees) store no balance; `fold` keeps their sums short.

Which postings are surely complete? Ids are no guide: a transaction may commit a low id late. A posting carries the id
of its transaction, and Postgres knows the oldest transaction still running, so every posting of an older one is there
for good. After a restore into a new cluster transaction ids start low again: `unfold` then drops the cache.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from wallet.models import AccountFold

FOLD = """
WITH horizon AS (
  SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS txid
), fresh AS (
  SELECT account.id AS account_id, coalesce(sum(posting.amount_minor), 0) AS total
    FROM wallet_account account
    LEFT JOIN wallet_accountfold fold ON fold.account_id = account.id
    JOIN wallet_posting posting ON posting.account_id = account.id
     AND posting.txid >= coalesce(fold.before_txid, 0) AND posting.txid < (SELECT txid FROM horizon)
   WHERE account.floor_minor IS NULL
   GROUP BY account.id
)
INSERT INTO wallet_accountfold AS fold (account_id, before_txid, balance_minor, folded_at)
SELECT account_id, (SELECT txid FROM horizon), total, %s FROM fresh
ON CONFLICT (account_id) DO UPDATE SET
  before_txid = excluded.before_txid,
  balance_minor = fold.balance_minor + excluded.balance_minor,
  folded_at = excluded.folded_at
"""


def fold(*, now: datetime) -> int:
    """Fold the complete postings of every hot account; answer how many accounts moved. One folder at a time."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('wallet.folding'))")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(FOLD, [now])
        return cursor.rowcount


def unfold() -> int:
    """Drop every fold; balances stay right and are summed in full until the next fold."""
    return AccountFold.objects.all().delete()[0]
