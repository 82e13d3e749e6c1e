"""
Cases about open disputes (docs/trading.md): whoever objects is answered in time, and what a channel took back for it is
booked.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from desk import ways
from desk.acts import ALWAYS, Act, Input, Way
from desk.models import Queue
from desk.types import CaseType, register
from payments import disputes


def won(act: Act) -> None:
    _decide(act, upheld=False)


def upheld(act: Act) -> None:
    _decide(act, upheld=True)


def _decide(act: Act, *, upheld: bool) -> None:
    """A preview has no reason yet; what it does is undone."""
    disputes.decide(
        dispute_id=int(act.case.subject), upheld=upheld, actor=act.actor, reason=_why(act), now=act.now
    )


def lost(act: Act) -> None:
    """A person read in the channel's papers that it took the money back."""
    disputes.charged_back(
        dispute_id=int(act.case.subject),
        reference=act.inputs["reference"],
        actor=act.actor,
        reason=_why(act),
        now=act.now,
    )


def _why(act: Act) -> str:
    return act.reason or "preview"


WON = Way(
    code="dispute_won",
    title=_("Won: the payment stands"),
    says=_("The objection is dismissed. No money moves, and it no longer counts against the merchant."),
    do=won,
)
LOST = Way(
    code="dispute_lost",
    title=_("Lost: the channel took the money back"),
    says=_(
        "Books what the channel took as a refund of the payment. All of it back: the order's tickets are void. "
        "What its organiser got already comes back from him."
    ),
    do=lost,
    inputs=(Input("reference", _("the channel's number for it")),),
    two_people=ALWAYS,
)
UPHELD = Way(
    code="dispute_upheld",
    title=_("The buyer is right, the money is still here"),
    says=_("Says who was right. A refund is asked for on the order's page, as ever."),
    do=upheld,
)

DISPUTE_OPEN = CaseType(
    code="dispute_open",
    title=_("Dispute to be answered"),
    says=_("A buyer, a bank or a channel objects to a payment. Without an answer in time it is lost."),
    subject_kind="dispute",
    queue=Queue.RISK,
    rests=timedelta(0),
    due=timedelta(days=3),
    ways=(WON, LOST, UPHELD),
    detector="""
SELECT dispute.id::text AS subject, payment.channel, payment.purchase_kind, payment.purchase_number,
       payment.number AS payment_number, dispute.amount_minor, dispute.currency, dispute.opened_at AS since,
       dispute.state AS cause,
       jsonb_build_object('kind', dispute.kind, 'told_by', dispute.source, 'reference', dispute.reference,
                          'note', dispute.note) AS facts
  FROM payments_dispute dispute JOIN payments_payment payment ON payment.id = dispute.payment_id
 WHERE dispute.state = 'open'
""",
)

ways.ALL.update({way.code: way for way in (WON, LOST, UPHELD)})
register(DISPUTE_OPEN)
