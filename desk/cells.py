"""
What a table of states is made of (desk.matrix): the words for a payment and for its refunds, the rules that give every
combination a meaning, and the same asked of the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from payments.models import LIVE_STATES, Outcome, PaymentState, Refund, RefundState

INCONSISTENT = "state_inconsistent"

# A payment is known by its state, a success by its outcome.
SUCCESSES = (str(Outcome.WON), str(Outcome.SURPLUS))
PAYMENTS = (*(str(state) for state in PaymentState if state != PaymentState.SUCCEEDED), *SUCCESSES)
LIVE = tuple(str(state) for state in LIVE_STATES)
OVER = (str(PaymentState.FAILED), str(PaymentState.CLOSED))

# The refunds of one payment, together: the first of these that is true of any of them, else how much is back.
NONE, PART, FULL = "none", "part", "full"
REFUNDS = (NONE, *(str(state) for state in RefundState if state != RefundState.SUCCEEDED), PART, FULL)
ON_ITS_WAY = tuple(str(s) for s in RefundState if s not in (RefundState.SUCCEEDED, RefundState.REFUSED))
# Of several refunds the first of these speaks for all.
LOUDEST = (str(RefundState.REFUSED), *ON_ITS_WAY)

OK, MOVES, CASE = "consistent", "moves", "case"

Cell = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Meaning:
    """`verdict`: consistent; moves (a case of `kind` once it rests too long); case (of `kind`, at once)."""

    verdict: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    states: tuple[str, ...]
    payments: tuple[str, ...]
    refunds: tuple[str, ...]
    meaning: Meaning

    def fits(self, state: str, payment: str, refund: str) -> bool:
        return state in self.states and payment in self.payments and refund in self.refunds


@dataclass(frozen=True, slots=True)
class Lone:
    """What is wrong with a purchase whatever the pairs say; `condition` is SQL about `o`."""

    why: str
    condition: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """
    One kind of purchase: its states, the rules (the first that fits a cell gives its meaning), and its tables. `kind`
    is what a payment calls it, `name` what a person does.
    """

    kind: str
    name: str
    states: tuple[str, ...]
    rules: tuple[Rule, ...]
    lone: tuple[Lone, ...]
    table: str
    history: str  # the table of its events, whose `history_key` is the purchase
    history_key: str

    def cells(self) -> Iterator[Cell]:
        """Every combination."""
        return product(self.states, PAYMENTS, REFUNDS)

    def meaning(self, state: str, payment: str, refund: str) -> Meaning:
        """
        What this state means.

        :raises LookupError: nobody gave it a meaning; a test sees to it that there is no such cell
        """
        for rule in self.rules:
            if rule.fits(state, payment, refund):
                return rule.meaning
        raise LookupError(f"{self.name} {state} × {payment} × {refund}")

    def detector(self) -> str:
        """The purchases of this kind that are in a cell that no flow leads to, or wrong alone."""
        lone = "".join(
            LONE.format(why=one.why, table=self.table, condition=one.condition) for one in self.lone
        )
        wrong = [cell for cell in self.cells() if self.meaning(*cell).kind == INCONSISTENT]
        return DETECTOR.format(
            kind=self.kind,
            table=self.table,
            history=self.history,
            history_key=self.history_key,
            refund_word=_refund_word(),
            wrong=", ".join(f"('{state}', '{payment}', '{refund}')" for state, payment, refund in wrong),
            lone=lone,
        )


def ok(why: str) -> Meaning:
    return Meaning(OK, "", why)


def moves(kind: str, why: str) -> Meaning:
    return Meaning(MOVES, kind, why)


def wrong(why: str, kind: str = INCONSISTENT) -> Meaning:
    return Meaning(CASE, kind, why)


def payment_class(state: str, outcome: str) -> str:
    return outcome or state


def refund_class(refunds: list[Refund], taken_minor: int) -> str:
    """The refunds of one payment in one word of `REFUNDS`."""
    states = {refund.state for refund in refunds}
    for state in LOUDEST:
        if state in states:
            return state
    back = sum(refund.amount_minor for refund in refunds if refund.state == RefundState.SUCCEEDED)
    if not back:
        return NONE
    return FULL if back >= taken_minor else PART


# -- the same, asked of the database -----------------------------------------------------------------------------


def _refund_word() -> str:
    loud = " ".join(f"WHEN bool_or(r.state = '{state}') THEN '{state}'" for state in LOUDEST)
    back = "coalesce(sum(r.amount_minor) FILTER (WHERE r.state = 'succeeded'), 0)"
    return (
        f"CASE {loud} WHEN {back} = 0 THEN '{NONE}' WHEN {back} >= payment.amount_minor THEN '{FULL}'"
        f" ELSE '{PART}' END"
    )


LONE = " UNION ALL SELECT o.id, '', '', '{why}' FROM {table} o WHERE {condition}"
DETECTOR = """
SELECT o.number AS subject, max(found.channel) AS channel, '{kind}' AS purchase_kind, o.number AS purchase_number,
       max(found.payment_number) AS payment_number, o.amount_minor, o.currency,
       (SELECT max(at) FROM {history} event WHERE event.{history_key} = o.id) AS since,
       string_agg(found.why, '; ' ORDER BY found.why) AS cause,
       jsonb_build_object('why', jsonb_agg(found.why ORDER BY found.why)) AS facts
  FROM (
    SELECT id, payment_number, channel, state || ' × ' || payment_word || ' × ' || refund_word AS why
      FROM (SELECT o.id, o.state, payment.number AS payment_number, payment.channel,
                   coalesce(nullif(payment.outcome, ''), payment.state) AS payment_word, {refund_word} AS refund_word
              FROM {table} o
              JOIN payments_payment payment ON payment.purchase_kind = '{kind}' AND payment.purchase_number = o.number
              LEFT JOIN payments_refund r ON r.payment_id = payment.id
             GROUP BY o.id, payment.id) pair
     WHERE (state, payment_word, refund_word) IN ({wrong}){lone}) found
  JOIN {table} o ON o.id = found.id
 GROUP BY o.id
"""
