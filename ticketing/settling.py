"""
Settlement with organisers: what a show took, less what went back, less the platform's fee, to the organiser's account.

A round looks at the shows that are over for `SETTLEMENT_AFTER` and at settled ones from which money went back since,
sums each up in one statement, and books what is missing of it. So it may run at any time and as often as one likes:
what is settled already is not missing. Money goes out only while nothing keeps it waiting; what must come back comes
back at once, as far as the organiser has it.

Locks: one round at a time (an advisory lock), the settlements, then the organisers' accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Sum

from basis import numbers
from payments import money
from ticketing import settlement_waits
from ticketing.models import Show
from ticketing.settlement_models import SettlementMove, ShowSettlement, Standing
from ticketing.settlement_terms import Amounts, next_move

LOOK_BACK = timedelta(days=60)
"""What changed longer ago and is unseen would mean that no round ran for so long; the audit tells."""

# Shows whose money may be out of date here: over and not settled; owing; settled, and money went back or came late.
TO_LOOK_AT = """
SELECT show.id FROM ticketing_show show
 WHERE coalesce(show.ends_at, show.starts_at) <= %(over_since)s::timestamptz
   AND NOT EXISTS (SELECT 1 FROM ticketing_showsettlement known
                    WHERE known.show_id = show.id AND known.standing <> 'due')
   AND EXISTS (SELECT 1 FROM ticketing_order o WHERE o.show_id = show.id AND o.state IN ('paid', 'refunded'))
UNION
SELECT known.show_id FROM ticketing_showsettlement known WHERE known.standing <> 'settled'
UNION
SELECT o.show_id FROM payments_refund refund
  JOIN payments_payment payment ON payment.id = refund.payment_id AND payment.outcome = 'won'
  JOIN ticketing_order o ON o.number = payment.purchase_number AND payment.purchase_kind = 'order'
  JOIN ticketing_showsettlement known ON known.show_id = o.show_id
 WHERE refund.created_at >= %(looked_since)s::timestamptz
UNION
SELECT show.id FROM ticketing_show show
  JOIN (SELECT show_id, sum(orders) AS orders FROM ticketing_showsettlement GROUP BY show_id) known
    ON known.show_id = show.id
 WHERE coalesce(show.ends_at, show.starts_at) >= %(looked_since)s::timestamptz
   AND known.orders <> (SELECT count(*) FROM ticketing_order o
                         WHERE o.show_id = show.id AND o.state IN ('paid', 'refunded'))
"""
TOTALS = """
WITH won AS (
  SELECT o.show_id, payment.id, payment.currency, payment.amount_minor
    FROM ticketing_order o JOIN payments_payment payment ON payment.number = o.winner
   WHERE o.show_id = ANY(%(shows)s::bigint[]) AND o.winner <> '' AND payment.outcome = 'won'
), back AS (
  SELECT won.id, sum(refund.amount_minor) AS amount_minor
    FROM won JOIN payments_refund refund ON refund.payment_id = won.id GROUP BY won.id
)
SELECT won.show_id, won.currency, organiser.code, organiser.fee_bps, count(*), sum(won.amount_minor)::bigint,
       coalesce(sum(back.amount_minor), 0)::bigint
  FROM won LEFT JOIN back ON back.id = won.id
  JOIN ticketing_show show ON show.id = won.show_id
  JOIN ticketing_event event ON event.id = show.event_id
  JOIN ticketing_organiser organiser ON organiser.id = event.organiser_id
 GROUP BY won.show_id, won.currency, organiser.code, organiser.fee_bps
 ORDER BY won.show_id, won.currency
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did: how many settlements paid out, gave back, wait, and are owed something."""

    paid_out: int = 0
    came_back: int = 0
    waiting: int = 0
    owing: int = 0


def settle_due(*, now: datetime) -> Round:
    """Look at every show that it is time for, and book what is missing. One round at a time; another does nothing."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('ticketing.settling'))")
            if not cursor.fetchone()[0]:
                return Round()
        return _round(_to_look_at(now), now=now)


def settle_of(merchant: str, *, now: datetime) -> Round:
    """The same for one organiser's shows, after the round that is under way; in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ticketing.settling'))")
    shows = Show.objects.filter(pk__in=_to_look_at(now), event__organiser__code=merchant)
    return _round(sorted(shows.values_list("pk", flat=True)), now=now)


def _round(shows: Sequence[int], *, now: datetime) -> Round:
    looked = _look(shows, now=now)
    due = {one.settlement.show_id for one in looked if one.missing_minor > 0}
    waits = settlement_waits.waits(sorted(due))
    return _book(looked, waits, now=now)


def _to_look_at(now: datetime) -> list[int]:
    values = {"over_since": now - settings.SETTLEMENT_AFTER, "looked_since": now - LOOK_BACK}
    with connection.cursor() as cursor:
        cursor.execute(TO_LOOK_AT, values)
        return sorted(row[0] for row in cursor.fetchall())


@dataclass(frozen=True, slots=True)
class _Looked:
    """A settlement, locked and up to date, with what was moved before and how often."""

    settlement: ShowSettlement
    moved_minor: int
    moves: int

    @property
    def missing_minor(self) -> int:
        return self.settlement.due_total_minor - self.moved_minor


def _look(shows: Sequence[int], *, now: datetime) -> list[_Looked]:
    """Write down what these shows took and gave back; answer their settlements, locked."""
    if not shows:
        return []
    with connection.cursor() as cursor:
        cursor.execute(TOTALS, {"shows": list(shows)})
        totals = cursor.fetchall()
    ShowSettlement.objects.bulk_create(
        [
            ShowSettlement(
                number=numbers.new_number(numbers.SETTLEMENT, now),
                show_id=show,
                currency=currency,
                merchant=merchant,
                fee_bps=fee_bps,
                orders=orders,
                paid_minor=paid,
                refunded_minor=refunded,
                opened_at=now,
                looked_at=now,
            )
            for show, currency, merchant, fee_bps, orders, paid, refunded in totals
        ],
        update_conflicts=True,
        unique_fields=["show", "currency"],
        update_fields=["orders", "paid_minor", "refunded_minor", "looked_at"],
    )
    fees = {(show, currency): fee_bps for show, currency, _merchant, fee_bps, *_rest in totals}
    return _locked(shows, fees)


def _locked(shows: Sequence[int], fees: Mapping[tuple[int, str], int]) -> list[_Looked]:
    found = ShowSettlement.objects.select_for_update(no_key=True).filter(show_id__in=shows).order_by("pk")
    settlements = list(found)
    moves = SettlementMove.objects.filter(settlement__in=settlements).values("settlement")
    sums = moves.annotate(total=Sum("gross_minor"), times=Count("pk"))
    moved = {row["settlement"]: (row["total"], row["times"]) for row in sums}
    for one in settlements:
        if one.pk not in moved:
            one.fee_bps = fees.get((one.show_id, one.currency), one.fee_bps)
    return [_Looked(one, *moved.get(one.pk, (0, 0))) for one in settlements]


# -- booking what is missing -----------------------------------------------------------------------------------


def _book(looked: Sequence[_Looked], waits: Mapping[int, list[str]], *, now: datetime) -> Round:
    """What goes out first, so that what must come back finds it; all of it in one statement to the ledger."""
    has = _available([one.settlement for one in looked if one.missing_minor < 0])
    moves: list[SettlementMove] = []
    for one in sorted(looked, key=lambda each: (each.missing_minor < 0, each.settlement.pk)):
        settlement = one.settlement
        settlement.waits_for = waits[settlement.show_id] if one.missing_minor > 0 else []
        amounts = Amounts(0, 0) if settlement.waits_for else _missing(one, has)
        if amounts.gross_minor:
            moves.append(_move(one, amounts, now=now))
            account = money.merchant(settlement.merchant, settlement.currency)
            if account in has:
                has[account] += amounts.net_minor
        settlement.standing = _standing(one.missing_minor - amounts.gross_minor)
    settlements = [one.settlement for one in looked]
    ShowSettlement.objects.bulk_update(settlements, ["fee_bps", "standing", "waits_for"])
    SettlementMove.objects.bulk_create(moves)
    money.book_show_settlements([_entry(move) for move in moves], at=now)
    return Round(
        paid_out=sum(move.gross_minor > 0 for move in moves),
        came_back=sum(move.gross_minor < 0 for move in moves),
        waiting=sum(one.standing == Standing.DUE for one in settlements),
        owing=sum(one.standing == Standing.OWING for one in settlements),
    )


def _available(settlements: Iterable[ShowSettlement]) -> dict[str, int]:
    """What organisers can give back, by account; locked until the transaction ends."""
    return money.lock_merchants({(one.merchant, one.currency) for one in settlements})


def _missing(one: _Looked, has: Mapping[str, int]) -> Amounts:
    settlement = one.settlement
    return next_move(
        due_total_minor=settlement.due_total_minor,
        moved_minor=one.moved_minor,
        fee_bps=settlement.fee_bps,
        available_minor=has.get(money.merchant(settlement.merchant, settlement.currency), 0),
    )


def _move(one: _Looked, amounts: Amounts, *, now: datetime) -> SettlementMove:
    return SettlementMove(
        settlement=one.settlement,
        nth=one.moves + 1,
        gross_minor=amounts.gross_minor,
        fee_minor=amounts.fee_minor,
        net_minor=amounts.net_minor,
        paid_minor=one.settlement.paid_minor,
        refunded_minor=one.settlement.refunded_minor,
        at=now,
    )


def _entry(move: SettlementMove) -> money.ShowSettled:
    return money.ShowSettled(
        key=move.key,
        reference=move.settlement.number,
        merchant=move.settlement.merchant,
        currency=move.settlement.currency,
        net_minor=move.net_minor,
        fee_minor=move.fee_minor,
    )


def _standing(left_minor: int) -> Standing:
    if left_minor == 0:
        return Standing.SETTLED
    return Standing.DUE if left_minor > 0 else Standing.OWING


def owing_minor(merchant: str, currency: str) -> int:
    """What an organiser has to give back of settled shows and did not have so far, fees included."""
    owing = ShowSettlement.objects.filter(merchant=merchant, currency=currency, standing=Standing.OWING)
    moved = Sum("moves__gross_minor")
    return sum(one.moved - one.due_total_minor for one in owing.annotate(moved=moved))
