"""The names of case types, resolutions, states, actions and messages, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from desk import trail, types, ways
from desk.models import CaseState
from payments.models import Outcome


def title(kind: str) -> str:
    """A case type's name; the code itself of one that is no longer there."""
    known = types.TYPES.get(kind)
    return str(known.title) if known else kind


def says(kind: str) -> str:
    known = types.TYPES.get(kind)
    return str(known.says) if known else ""


def titles() -> list[tuple[str, str]]:
    return sorted(((code, str(known.title)) for code, known in types.TYPES.items()), key=lambda pair: pair[1])


def resolution_title(kind: str, code: str) -> str:
    known = types.TYPES.get(kind)
    way = (known.way(code) if known else None) or ways.ALL.get(code)
    return str(way.title) if way else code


def case_state(state: str) -> str:
    return str(CaseState(state).label) if state in CaseState.values else state


def thing(kind: str) -> str:
    """What a move is about."""
    return str(_THINGS.get(kind, kind))


def outcome(word: str) -> str:
    """What is said behind a payment's state."""
    if word == "(unwanted)":
        return str(_("no longer wanted"))
    return str(Outcome(word).label) if word in Outcome.values else word


def message(kind: str) -> str:
    """What a message of the outbox does."""
    return str(_MESSAGES.get(kind, kind))


def fact(name: str) -> str:
    """The name of a fact that a detector found."""
    return str(_FACTS.get(name, name))


def action(code: str) -> str:
    """What somebody did, in the trail."""
    return str(_ACTIONS.get(code, code))


def actions() -> list[tuple[str, str]]:
    return [(code, str(text)) for code, text in _ACTIONS.items()]


def reason(case_kind: str, code: str) -> str:
    """Why a case moved: a reason of the desk's own, or the resolution that moved it."""
    return str(_REASONS[code]) if code in _REASONS else resolution_title(case_kind, code)


def actor(name: str) -> str:
    """Who did it, as the trail and histories name him."""
    return str(_("the coordinator")) if name == trail.COORDINATOR else name.removeprefix("staff:")


def parked(code: str) -> str:
    """Why a message of a channel waits for a person (payments.notify)."""
    return str(_PARKED.get(code, code))


def check(code: str) -> str:
    """What must hold (desk.invariants)."""
    return str(_CHECKS.get(code, code))


def answer(what: str) -> str:
    """What a channel says about a payment or a refund (payments.channels.port)."""
    return str(_ANSWERS.get(what, what))


_REASONS: Mapping[str, Any] = {
    "found": _("found in the books"),
    "wished": _("a colleague asks for it"),
    "not_asked": _("it was not asked for in the end"),
    "cause_gone": _("its cause is gone"),
    "cause_stays": _("its cause is still there"),
    "rejected": _("the request was rejected"),
    "withdrawn": _("the request was withdrawn"),
    "stale": _("the request was overtaken"),
}
_PARKED: Mapping[str, Any] = {
    "amount_differs": _("another amount than the payment's"),
    "unknown_number": _("a payment or refund that is not in our books"),
    "refunded_twice": _("a refund that was paid out elsewhere already"),
}
_ANSWERS: Mapping[str, Any] = {
    "Paid": _("paid"),
    "Waiting": _("open, not paid"),
    "Absent": _("not known there"),
    "Closed": _("closed unpaid"),
    "AlreadyPaid": _("paid"),
    "Declined": _("refused"),
    "Unknown": _("no clear answer"),
    "Refunded": _("refunded"),
    "RefundAccepted": _("the refund is on its way"),
    "RefundAbsent": _("the refund is not known there"),
    "TransferDone": _("paid out"),
    "TransferWorking": _("it works on the transfer"),
    "TransferAbsent": _("the transfer is not known there"),
    "TransferFailed": _("the transfer failed"),
    "TransferReturned": _("the payee’s bank sent it back"),
}
_ACTIONS: Mapping[str, Any] = {
    "resolved": _("resolved"),
    "asked_for": _("asked for approval"),
    "stale": _("overtaken"),
    "approved": _("approved"),
    "rejected": _("rejected"),
    "withdrawn": _("withdrew a request"),
    "assigned": _("gave the case"),
    "noted": _("noted"),
    "asked_channel": _("asked the channel"),
    "driven": _("gave it its next step"),
    "account_made": _("made an account or a role"),
    "account_changed": _("changed an account or a role"),
    "account_deleted": _("deleted a role"),
}
_CHECKS: Mapping[str, Any] = {
    "refunds_within_payments": _("No more is sent back than was taken"),
    "payments_are_booked": _("Every success is booked once, in full"),
    "tickets_have_seats": _("Every ticket has its seat"),
    "states_fit": _("Order, payment and refunds fit together"),
    "entries_balance": _("What is booked sums to zero"),
    "something_is_next": _("Whatever is not final is being driven"),
}
_THINGS: Mapping[str, Any] = {
    "order": _("order"),
    "topup": _("top-up"),
    "payment": _("payment"),
    "refund": _("refund"),
    "ticket": _("ticket"),
    "seat": _("seat"),
    "notification": _("notification"),
    "hold": _("money set aside"),
    "amount": _("amount"),
    "discrepancy": _("discrepancy"),
    "withdrawal": _("withdrawal"),
    "dispute": _("dispute"),
    "finding": _("finding"),
    "settlement": _("settlement to the merchant"),
    "show": _("show"),
    "sale": _("sale"),
}
_MESSAGES: Mapping[str, Any] = {
    "payment.chase": _("the channel is asked about the payment"),
    "refund.drive": _("the refund is sent to the channel"),
    "notify.apply": _("the channel's message is applied"),
    "withdrawal.drive": _("the channel is sent the transfer, or asked about it"),
    "show.cancel": _("the show's orders are ended and refunded"),
}
_FACTS: Mapping[str, Any] = {
    "state": _("state"),
    "error": _("error"),
    "refusal": _("refusal"),
    "reason": _("reason"),
    "reference": _("reference"),
    "account": _("account"),
    "tries": _("tries"),
    "merchant": _("merchant"),
    "show": _("show"),
    "told_by": _("told by"),
    "note": _("note"),
    "says": _("what it says"),
    "kind": _("kind"),
    "day": _("day"),
    "holds_minor": _("it holds"),
    "on_its_way_minor": _("on its way"),
    "payment": _("payment"),
    "refund": _("refund"),
    "score": _("score"),
    "rules": _("rules"),
}
