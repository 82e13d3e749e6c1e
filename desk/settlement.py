"""
A show's money stays in the guarantee account while a case about one of its orders is open. Not for a dispute: a large
show has some at any time, for weeks, and what is lost comes back from the organiser as a correction.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from ticketing import settlement_waits

CASES = """
SELECT DISTINCT o.show_id FROM desk_case c
  JOIN ticketing_order o ON o.number = c.purchase_number AND c.purchase_kind = 'order'
 WHERE c.closed_at IS NULL AND c.kind <> 'dispute_open' AND o.show_id = ANY(%s::bigint[])
"""

settlement_waits.register("case", _("a case about its money is open"), settlement_waits.asked(CASES))
