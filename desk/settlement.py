"""
A show's money stays in the guarantee account while a case about one of its orders is open. Not for a dispute: a large
show has some at any time, for weeks, and what is lost comes back from the organiser as a correction.

And what he then owes is a case, so that somebody answers for it.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from desk import ways
from desk.models import Queue
from desk.types import CaseType, register
from ticketing import settlement_waits

CASES = """
SELECT DISTINCT o.show_id FROM desk_case c
  JOIN ticketing_order o ON o.number = c.purchase_number AND c.purchase_kind = 'order'
 WHERE c.closed_at IS NULL AND c.kind <> 'dispute_open' AND o.show_id = ANY(%s::bigint[])
"""

settlement_waits.register("case", _("a case about its money is open"), settlement_waits.asked(CASES))

OWES = CaseType(
    code="organiser_owes",
    title=_("An organiser owes money of a settled show"),
    says=_(
        "More went back to buyers after the settlement than the organiser has left. The guarantee account is short of "
        "it. What he earns next is taken for it; nothing else is done by itself."
    ),
    subject_kind="settlement",
    queue=Queue.FINANCE,
    rests=timedelta(days=1),
    due=timedelta(days=14),
    ways=(ways.BOOK_ENTRY, ways.EXPLAIN),
    detector="""
SELECT settlement.number AS subject, '' AS channel, 'settlement' AS purchase_kind,
       settlement.number AS purchase_number, '' AS payment_number,
       (moved.net - owed.total + div(owed.total * settlement.fee_bps + 5000, 10000))::bigint AS amount_minor,
       settlement.currency, moved.at AS since, owed.total::text AS cause,
       jsonb_build_object('merchant', settlement.merchant, 'show', show.code,
                          'account', format('merchant:%%s:%%s', settlement.merchant, settlement.currency)) AS facts
  FROM ticketing_showsettlement settlement JOIN ticketing_show show ON show.id = settlement.show_id
 CROSS JOIN LATERAL (SELECT settlement.paid_minor - settlement.refunded_minor AS total) owed
 CROSS JOIN LATERAL (SELECT sum(move.net_minor)::bigint AS net, max(move.at) AS at
                       FROM ticketing_settlementmove move WHERE move.settlement_id = settlement.id) moved
 WHERE settlement.standing = 'owing' AND moved.at < %(before)s
""",
)
register(OWES)
