"""
What staff wish for and may not do alone, and that no detector finds: a refund above `REFUND_ALONE_MAX_MINOR`, the end
of a show that was sold. A wish becomes a case that waits for approval from its first moment; approving, rejecting or
withdrawing its request ends it.

Everything else is as with any case: it is tried for the preview, tried again against the present when it is approved,
never by its maker (desk.approve), and done by the service that one person would have called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from basis import numbers
from desk import approve, detect, resolve, types
from desk.acts import ALWAYS, Act, CannotBeDone, Way
from desk.models import CASE_LIFECYCLE, Case, CaseState, Queue, ResolutionRequest
from desk.trail import Person
from desk.types import CaseType
from ticketing import cancelling, refund_preview, refunding
from ticketing.models import Order
from ticketing.refund_models import SeatsAfter

REASON_MAX = 200
"""A refund of an order keeps so much of the reason; the trail keeps all of it."""


class AskedBefore(Exception):
    """Somebody asked for something about the same thing, and it is not decided yet."""


@dataclass(frozen=True, slots=True)
class Wish:
    """
    `facts` say what is wanted, whole: what is approved is what they say. `cause` of the case is their digest.
    `amount_minor` is the money at risk.
    """

    kind: str
    subject: str
    amount_minor: int
    currency: str
    facts: Mapping[str, Any]
    channel: str = ""
    purchase_kind: str = ""
    purchase_number: str = ""
    payment_number: str = ""


def asked(key: str, subject: str) -> ResolutionRequest | None:
    """
    What this key asked for already, decided or not.

    :raises desk.resolve.KeyReused: the key belongs to a wish about something else
    """
    known = ResolutionRequest.objects.select_related("case").filter(key=key).first()
    if known is not None and known.case.subject != subject:
        raise resolve.KeyReused(key)
    return known


def ask(wish: Wish, *, reason: str, by: Person, key: str, now: datetime) -> ResolutionRequest:
    """
    Ask for approval. The same `key` returns the same request; if we die on the way, the case without a request is
    closed by the next round of the coordinator.

    :raises AskedBefore: see there
    :raises desk.resolve.KeyReused: the key belongs to another wish

    and as `desk.approve.request` does.
    """
    known = asked(key, wish.subject)
    if known is not None:
        if (known.case.kind, known.case.cause) != (wish.kind, _cause(wish)):
            raise resolve.KeyReused(key)
        return known
    resolve.may(by, types.TYPES[wish.kind].right)
    case = _open(wish, by=by, now=now)
    try:
        way = types.TYPES[wish.kind].ways[0]
        shown = resolve.preview(case_number=case.number, resolution=way.code, now=now)
        return approve.request(
            case_number=case.number,
            resolution=way.code,
            fingerprint=shown.fingerprint,
            reason=reason,
            by=by,
            key=key,
            now=now,
            typed_minor=shown.amount_minor,
        )
    except Exception:
        _drop(case.number, by=by, now=now)
        raise


def _cause(wish: Wish) -> str:
    return detect.digest_of(json.dumps(dict(wish.facts), sort_keys=True, default=str))


def _open(wish: Wish, *, by: Person, now: datetime) -> Case:
    kind = types.TYPES[wish.kind]
    try:
        with transaction.atomic():
            case = Case.objects.create(
                number=numbers.new_number(numbers.CASE, now),
                kind=wish.kind,
                subject_kind=kind.subject_kind,
                subject=wish.subject,
                queue=kind.queue,
                channel=wish.channel,
                purchase_kind=wish.purchase_kind,
                purchase_number=wish.purchase_number,
                payment_number=wish.payment_number,
                amount_minor=wish.amount_minor,
                currency=wish.currency,
                since=now,
                opened_at=now,
                due_at=now + kind.due,
                weight=detect.weight_of(wish.amount_minor, now, now),
                suggested=kind.suggested,
                cause=_cause(wish),
                facts=dict(wish.facts),
            )
            CASE_LIFECYCLE.begin(case, at=now, reason="wished", actor=by.name)
    except IntegrityError as error:  # desk_case_one_active
        raise AskedBefore(wish.subject) from error
    return case


def _drop(number: str, *, by: Person, now: datetime) -> None:
    """The case of a wish that was not asked for."""
    with transaction.atomic():
        case = resolve.lock_case(number)
        if case.state == CaseState.OPEN:
            CASE_LIFECYCLE.move(
                case, to=CaseState.GONE, at=now, reason="not_asked", actor=by.name, closed_at=now
            )


def handle_of(actor: str) -> str:
    """`mei` of `staff:mei`."""
    return actor.removeprefix("staff:")


def as_cannot(do: Callable[[], object], *refusals: type[Exception]) -> None:
    """
    Run `do`; what it refuses, in the desk's words.

    :raises CannotBeDone: see there
    """
    try:
        do()
    except refusals as error:
        raise CannotBeDone(getattr(error, "reason", type(error).__name__), str(error)[:200]) from error


# A wish is over when its request is; one that never got a request is over after a minute.
DETECTOR = """
SELECT wish.subject, wish.channel, wish.purchase_kind, wish.purchase_number, wish.payment_number, wish.amount_minor,
       wish.currency, wish.since, '' AS cause, wish.facts
  FROM desk_case wish
 WHERE wish.kind = %(kind)s AND wish.closed_at IS NULL
   AND (wish.opened_at > %(before)s
        OR EXISTS (SELECT 1 FROM desk_resolutionrequest asked
                    WHERE asked.case_id = wish.id AND asked.state = 'waiting'))
"""


# -- a refund of an order ----------------------------------------------------------------------------------------
def refund_of(
    *,
    order: Order,
    tickets: list[str],
    amount_minor: int,
    seats_after: str,
    fingerprint: str = "",
    now: datetime,
) -> Wish:
    """
    A refund as its maker wants it. With the `fingerprint` of the preview that he saw, it is refused if anything of it
    has changed since.

    :raises ticketing.refunding.NotRefundable: it cannot be done, with whomever's approval
    :raises desk.approve.NotNeeded: one person is enough
    """
    seen = refund_preview.preview(
        order, tickets=tickets, amount_minor=amount_minor, actor="", seats_after=seats_after, now=now
    )
    if seen.refusal:
        raise refunding.NotRefundable(seen.refusal)
    if not seen.needs_approval:
        raise approve.NotNeeded(order.number)
    if fingerprint and fingerprint != seen.fingerprint:
        raise refunding.NotRefundable("stale")
    return Wish(
        kind=REFUND_WANTED.code,
        subject=order.number,
        amount_minor=amount_minor,
        currency=order.currency,
        channel=seen.payment.channel,
        purchase_kind="order",
        purchase_number=order.number,
        payment_number=seen.payment.number,
        facts={
            "tickets": list(tickets),
            "refund_minor": amount_minor,
            "seats_after": seats_after,
            "sources": [[source.code, source.amount_minor] for source in seen.sources],
            "fingerprint": seen.fingerprint,
        },
    )


def refund_order(act: Act) -> None:
    """As one person would do it below the limit: the same service, with both names."""
    wanted, maker = act.case.facts, handle_of(act.maker)
    as_cannot(
        lambda: refunding.by_staff(
            number=act.case.purchase_number,
            tickets=wanted["tickets"],
            amount_minor=wanted["refund_minor"],
            seats_after=wanted.get("seats_after", SeatsAfter.FREE),
            reason=act.reason[:REASON_MAX],
            key=f"case:{act.case.number}",
            actor=maker or handle_of(act.actor),
            approved_by=handle_of(act.actor) if maker else "a second person",
            fingerprint=wanted["fingerprint"],
            now=act.now,
        ),
        refunding.NotRefundable,
        refunding.KeyReused,
    )


REFUND_ORDER = Way(
    code="refund_order",
    title=_("Refund the order as asked for"),
    says=_("The tickets are void at once and their seats go back; the money goes back the way it came."),
    do=refund_order,
    two_people=ALWAYS,
    leaves=CaseState.RESOLVED,
)

REFUND_WANTED = CaseType(
    code="refund_wanted",
    title=_("Refund that takes two people"),
    says=_(
        "Staff want to refund more of an order than one person may. Another person looks at it and decides."
    ),
    subject_kind="order",
    queue=Queue.FINANCE,
    rests=timedelta(minutes=1),
    due=timedelta(hours=4),
    ways=(REFUND_ORDER,),
    detector=DETECTOR,
    right="ticketing.refund_order",
    is_wish=True,
)


# -- a show that does not take place -----------------------------------------------------------------------------
def cancellation_of(*, code: str, said_zh: str = "", said_en: str = "") -> Wish:
    """
    The end of a show as its maker wants it. What it costs is looked at anew by who approves: a sale goes on while he
    reads, so that no amount is part of what is approved.

    :raises ticketing.cancelling.NoSuchShow: see there
    :raises desk.approve.NotNeeded: one person is enough, or it is cancelled already
    """
    seen = cancelling.preview(code)
    if seen.cancelled_at or not seen.needs_approval:
        raise approve.NotNeeded(code)
    currency, amount_minor = max(seen.sums.items(), key=lambda pair: pair[1])
    return Wish(
        kind=SHOW_TO_CANCEL.code,
        subject=code,
        amount_minor=amount_minor,
        currency=currency,
        facts={"said_zh": said_zh, "said_en": said_en},
    )


def cancel_show(act: Act) -> None:
    """The sale stops in this transaction; the workers end and refund the orders."""
    words, maker = act.case.facts, handle_of(act.maker)
    as_cannot(
        lambda: cancelling.cancel(
            code=act.case.subject,
            reason=act.reason,
            actor=maker or handle_of(act.actor),
            approved_by=handle_of(act.actor) if maker else "a second person",
            said_zh=words.get("said_zh", ""),
            said_en=words.get("said_en", ""),
            now=act.now,
        ),
        cancelling.NotCancellable,
        cancelling.NoSuchShow,
    )


CANCEL_SHOW = Way(
    code="cancel_show",
    title=_("Cancel the show"),
    says=_(
        "The sale stops at once; open orders end; every paid order gets all its money back. It cannot be undone."
    ),
    do=cancel_show,
    two_people=ALWAYS,
    leaves=CaseState.RESOLVED,
)

SHOW_TO_CANCEL = CaseType(
    code="show_to_cancel",
    title=_("Show that is to be cancelled"),
    says=_("Staff want to cancel a show and refund everybody. Another person looks at it and decides."),
    subject_kind="show",
    queue=Queue.OPERATIONS,
    rests=timedelta(minutes=1),
    due=timedelta(hours=1),
    ways=(CANCEL_SHOW,),
    detector=DETECTOR,
    right="ticketing.cancel_show",
    is_wish=True,
)

types.register(REFUND_WANTED, SHOW_TO_CANCEL)
