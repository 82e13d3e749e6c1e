"""The money's facts: sums by channel and account, each one grouped query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from basis import replica

TOOK = """
SELECT channel, currency, count(*), coalesce(sum(amount_minor), 0) FROM payments_payment
 WHERE state = 'succeeded' AND paid_at >= %(since)s AND paid_at < %(until)s GROUP BY 1, 2
"""

REFUNDED = """
SELECT payment.channel, refund.currency, count(*), coalesce(sum(refund.amount_minor), 0)
  FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
 WHERE refund.state = 'succeeded' AND refund.refunded_at >= %(since)s AND refund.refunded_at < %(until)s GROUP BY 1, 2
"""

RETURNING = """
SELECT payment.channel, refund.currency, refund.state, count(*), coalesce(sum(refund.amount_minor), 0),
       min(refund.created_at)
  FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
 WHERE refund.state <> 'succeeded' GROUP BY 1, 2, 3
"""

FEES = """
SELECT line.channel, line.currency, count(*), coalesce(sum(line.fee_milli), 0)
  FROM payments_statement statement JOIN payments_statementline line ON line.statement_id = statement.id
 WHERE statement.kind = 'trade' AND statement.replaced_by_id IS NULL
   AND statement.day >= %(first)s AND statement.day <= %(last)s AND line.fee_milli <> 0 GROUP BY 1, 2
"""

STATEMENTS = """
SELECT DISTINCT ON (channel, kind) channel, kind, day, lines, id FROM payments_statement
 WHERE replaced_by_id IS NULL ORDER BY channel, kind, day DESC
"""

DAYS = """
SELECT what, channel, day, sum(minor) FROM (
  SELECT 'took' AS what, channel, (paid_at AT TIME ZONE %(zone)s)::date AS day, amount_minor AS minor
    FROM payments_payment WHERE state = 'succeeded' AND paid_at >= %(from)s
  UNION ALL
  SELECT 'refunded', payment.channel, (refund.refunded_at AT TIME ZONE %(zone)s)::date, refund.amount_minor
    FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
   WHERE refund.state = 'succeeded' AND refund.refunded_at >= %(from)s
) facts GROUP BY 1, 2, 3
"""

# Hot accounts store no balance: the fold and what was posted since. Bounded ones are summed by kind.
HOT = """
SELECT account.kind, account.owner, account.currency, account.id, coalesce(fold.balance_minor, 0) + coalesce((
         SELECT sum(posting.amount_minor) FROM wallet_posting posting
          WHERE posting.account_id = account.id AND posting.txid >= coalesce(fold.before_txid, 0)), 0)
  FROM wallet_account account LEFT JOIN wallet_accountfold fold ON fold.account_id = account.id
 WHERE account.floor_minor IS NULL ORDER BY account.kind, account.owner
"""

BOUNDED = """
SELECT kind, currency, count(*), sum(balance_minor), sum(held_minor) FROM wallet_account
 WHERE floor_minor IS NOT NULL GROUP BY 1, 2 ORDER BY 1
"""

DIFFERENCES = """
SELECT channel, currency, klass, count(*), coalesce(sum(
         coalesce(nullif(abs(coalesce(ours_minor, 0) - coalesce(theirs_minor, 0)), 0), abs(theirs_minor), 0)), 0)
  FROM payments_discrepancy WHERE state = 'open' GROUP BY 1, 2, 3 ORDER BY 4 DESC
"""

SETTLED = """
SELECT channel, currency, kind, coalesce(sum(amount_minor), 0) FROM payments_settlement
 WHERE day >= %(first)s AND day <= %(last)s GROUP BY 1, 2, 3
"""

Pair = tuple[str, str]  # channel and currency


@dataclass(frozen=True, slots=True)
class Sum:
    count: int = 0
    minor: int = 0


@dataclass(frozen=True, slots=True)
class Returning:
    """Refunds that are not done: of one channel, currency and state."""

    channel: str
    currency: str
    state: str
    count: int
    minor: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """An account that stores no balance, summed."""

    kind: str
    owner: str
    currency: str
    id: int
    minor: int


@dataclass(frozen=True, slots=True)
class Wallets:
    """All bounded accounts of a kind and currency together."""

    kind: str
    currency: str
    count: int
    minor: int
    held_minor: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Open discrepancies with a channel's statements, of one class."""

    channel: str
    currency: str
    klass: str
    count: int
    minor: int


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest statement of a channel and kind."""

    channel: str
    kind: str
    day: date
    lines: int
    id: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Sums of a period by channel and currency; what is open, whenever it began."""

    took: dict[Pair, Sum]
    refunded: dict[Pair, Sum]
    returning: list[Returning]
    hot: list[Balance]
    differences: list[Difference]

    @property
    def pairs(self) -> list[Pair]:
        """Every channel and currency that has anything to show."""
        clearing = {(one.owner, one.currency) for one in self.hot if one.kind == "clearing"}
        return sorted({*self.took, *self.refunded, *clearing})

    def unsettled(self, channel: str, currency: str) -> int:
        """What the channel owes us: its clearing account is below zero by that."""
        mine = (
            one.minor
            for one in self.hot
            if (one.kind, one.owner, one.currency) == ("clearing", channel, currency)
        )
        return -next(mine, 0)


@dataclass(frozen=True, slots=True)
class FinanceFacts(Standing):
    """What stands, and all else about the period [since, until)."""

    as_of: datetime
    since: datetime
    until: datetime
    fees_milli: dict[Pair, Sum]
    bounded: list[Wallets]
    days: dict[tuple[str, str, date], int]
    latest: list[Latest]
    settled: dict[tuple[str, str, str], int]  # by channel, currency and kind: fee, transfer

    @property
    def days_of(self) -> dict[str, date]:
        """The period as statements have it: by days. A list's filter."""
        first, last = (
            timezone.localtime(at).date() for at in (self.since, self.until - timedelta(seconds=1))
        )
        return {"day__gte": first, "day__lte": last}


def standing(*, since: datetime, until: datetime) -> Standing:
    """What there is to watch: no walk over all wallets, statements and days."""
    return Standing(**_standing({"since": since, "until": until}))


def gather(
    *, since: datetime, until: datetime, days_from: datetime, zone: str, now: datetime
) -> FinanceFacts:
    """Everything about the money, by channel."""
    values: dict[str, Any] = {"since": since, "until": until, "from": days_from, "zone": zone}
    first, last = (timezone.localtime(at).date() for at in (since, until - timedelta(seconds=1)))
    values |= {"first": first, "last": last}
    return FinanceFacts(
        as_of=now,
        since=since,
        until=until,
        fees_milli=_sums(FEES, values),
        bounded=[
            Wallets(kind, currency, count, int(minor), int(held))
            for kind, currency, count, minor, held in _asked(BOUNDED, values)
        ],
        days={(what, channel, day): int(minor) for what, channel, day, minor in _asked(DAYS, values)},
        latest=[Latest(*row) for row in _asked(STATEMENTS, values)],
        settled={
            (channel, currency, kind): int(minor)
            for channel, currency, kind, minor in _asked(SETTLED, values)
        },
        **_standing(values),
    )


def _standing(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "took": _sums(TOOK, values),
        "refunded": _sums(REFUNDED, values),
        "returning": [Returning(*row) for row in _asked(RETURNING, values)],
        "hot": [
            Balance(kind, owner, currency, key, int(minor))
            for kind, owner, currency, key, minor in _asked(HOT, values)
        ],
        "differences": [
            Difference(channel, currency, klass, count, int(minor))
            for channel, currency, klass, count, minor in _asked(DIFFERENCES, values)
        ],
    }


def _sums(sql: str, values: dict[str, Any]) -> dict[Pair, Sum]:
    return {
        (channel, currency): Sum(count, int(minor)) for channel, currency, count, minor in _asked(sql, values)
    }


@replica.looks
def _asked(sql: str, values: dict[str, Any]) -> list[Any]:
    with replica.connection().cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()
