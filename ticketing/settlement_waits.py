"""
What keeps a show's money in the guarantee account although the show is over: each code with a question over many shows.

Who knows more than this app (the desk knows cases) registers its question when the application starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection
from django.utils.translation import gettext_lazy as _

from risk.trading import marking
from ticketing.cancel_models import CancellationState
from ticketing.models import Show

# Answers which of these shows (by id) it is true of.
Question = Callable[[Sequence[int]], set[int]]

HELD, CANCELLED, REFUNDING, DIFFERS = "held", "cancelled", "refunds_under_way", "discrepancy"

WORDS: dict[str, Any] = {
    HELD: _("the organiser's settlement is held"),
    CANCELLED: _("the show is cancelled"),
    REFUNDING: _("refunds are on their way"),
    DIFFERS: _("a channel's statement differs"),
}

OF_SHOWS = """
SELECT DISTINCT o.show_id
  FROM ticketing_order o
  JOIN payments_payment payment ON payment.number = o.winner
  {joined}
 WHERE o.show_id = ANY(%s::bigint[]) AND o.winner <> '' AND {wanted}
"""
REFUNDS_UNDER_WAY = OF_SHOWS.format(
    joined="JOIN payments_refund refund ON refund.payment_id = payment.id",
    wanted="refund.state <> 'succeeded'",
)
DISCREPANCY = """
SELECT DISTINCT o.show_id
  FROM payments_discrepancy odd
  LEFT JOIN payments_refund refund ON refund.id = odd.refund_id
  JOIN payments_payment payment ON payment.id = coalesce(odd.payment_id, refund.payment_id)
  JOIN ticketing_order o ON o.number = payment.purchase_number AND payment.purchase_kind = 'order'
 WHERE odd.state IN ('open', 'carried') AND o.show_id = ANY(%s::bigint[])
"""


def asked(sql: str) -> Question:
    """A question in SQL; its one parameter is the list of shows."""

    def ask(shows: Sequence[int]) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(sql, [list(shows)])
            return {row[0] for row in cursor.fetchall()}

    return ask


def _held(shows: Sequence[int]) -> set[int]:
    merchants = dict(Show.objects.filter(pk__in=shows).values_list("pk", "event__organiser__code"))
    held = marking.held_among(set(merchants.values()))
    return {show for show, merchant in merchants.items() if merchant in held}


def _cancelled(shows: Sequence[int]) -> set[int]:
    """Once all money is back, what stays is what a refund rule kept: that is settled like any other."""
    found = Show.objects.filter(pk__in=shows, cancelled_at__isnull=False)
    found = found.exclude(cancellation__state=CancellationState.DONE)
    return set(found.values_list("pk", flat=True))


_questions: dict[str, Question] = {
    HELD: _held,
    CANCELLED: _cancelled,
    REFUNDING: asked(REFUNDS_UNDER_WAY),
    DIFFERS: asked(DISCREPANCY),
}


def register(code: str, words: Any, question: Question) -> None:
    """Let shows wait for one thing more. Called when the application starts."""
    WORDS[code] = words
    _questions[code] = question


def waits(shows: Sequence[int]) -> dict[int, list[str]]:
    """The codes of what each of these shows waits for; nothing for those that need not wait."""
    found: dict[int, list[str]] = {show: [] for show in shows}
    if shows:
        for code, question in _questions.items():
            for show in question(shows) & set(shows):
                found[show].append(code)
    return found
