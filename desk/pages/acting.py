"""From a form to a service of the desk, and from what it answers to words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from babel.numbers import get_currency_precision
from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from basis import addresses
from desk import approve, enquiry, resolve
from desk import assign as assigning
from desk.acts import CannotBeDone, Way
from desk.models import ACTIVE_STATES, Case
from desk.pages import kinds
from desk.preview import Preview
from desk.trail import Person

PREFIX = "in-"
AMOUNT = re.compile(r"\d{1,15}(\.\d{0,4})?", re.ASCII).fullmatch
WITHOUT_THE_RIGHT = gettext_lazy("Your role may not do that.")
REFUSALS: Mapping[type[Exception], Any] = {
    resolve.NotAllowed: WITHOUT_THE_RIGHT,
    resolve.NotOpen: gettext_lazy("The case is no longer open: somebody or something was faster."),
    resolve.NoSuchWay: gettext_lazy("This type of case has no such resolution."),
    resolve.ReasonMissing: gettext_lazy("Say why, in a few words."),
    resolve.AmountNotTyped: gettext_lazy(
        "The amount that you typed is not the one that would move. Nothing was done."
    ),
    resolve.StalePreview: gettext_lazy("Things changed since you looked. Nothing was done: look again."),
    approve.SamePerson: gettext_lazy(
        "You asked for it, or who did has changed your account lately: somebody else decides. That holds for everybody."
    ),
    approve.NotWaiting: gettext_lazy("The request is decided, withdrawn or overtaken already."),
    approve.NoChecker: gettext_lazy(
        "Nobody else has the right to approve: it would wait for ever. Nothing was asked for."
    ),
    approve.NotNeeded: gettext_lazy("One person is enough for this."),
    resolve.KeyReused: gettext_lazy("That form was sent before for something else. Nothing was done."),
}
REFUSED: tuple[type[Exception], ...] = (CannotBeDone, resolve.WouldBreak, *REFUSALS)
CANNOT: Mapping[str, Any] = {
    "no_payment": gettext_lazy("The case has no payment that is known here."),
    "no_refund": gettext_lazy("The refund is not known here."),
    "no_channel": gettext_lazy("There is no channel that could be asked."),
    "not_live": gettext_lazy("The payment has ended already."),
    "not_paid_there": gettext_lazy("The channel does not say that it was paid."),
    "amount_differs": gettext_lazy("The channel names another amount; this way does not fit."),
    "input_missing": gettext_lazy("Something is missing or too long."),
    "no_account": gettext_lazy("The ledger has no such account."),
    "bad_amount": gettext_lazy("That is not an amount that can be booked."),
    "not_refundable": gettext_lazy("There is nothing left to be refunded."),
    "insufficient_funds": gettext_lazy("The account holds too little."),
    "booked_before": gettext_lazy("That was booked before."),
    "no_entry": gettext_lazy("The ledger has no such entry."),
    "hold_ended": gettext_lazy("The hold has ended already."),
    "illegal_move": gettext_lazy("The state does not allow it."),
    "changed_meanwhile": gettext_lazy("Things changed at this very moment. Look again."),
    "busy": gettext_lazy("Something else is working on it right now. Look again in a moment."),
    "does_not_fit": gettext_lazy("That does not fit the facts."),
    "nothing_to_repair": gettext_lazy("Nothing that we know of is missing."),
    "nothing_known": gettext_lazy("Nothing is known about it here."),
    "not_redirectable": gettext_lazy("This refund cannot go to the wallet."),
    "no_withdrawal": gettext_lazy("The withdrawal is not known here."),
    "never_sent": gettext_lazy("It was never sent: the channel cannot know of it."),
    "not_on_its_way": gettext_lazy("It is not on its way any more. Look again."),
    "not_yours": gettext_lazy("Another person has to approve it, while it waits. Nothing was done."),
    "no_findings": gettext_lazy("Every finding about the merchant is marked already."),
    "no_money_told": gettext_lazy(
        "The message is not about money that was taken: there is nothing to send back."
    ),
    "known_by_now": gettext_lazy("The number is in our books by now: apply the message again."),
    "number_too_long": gettext_lazy(
        "No payment of ours has such a number, and the channel's API cannot refund it for us. Have the channel's "
        "support send the money back, then explain the case."
    ),
    "not_under_our_account": gettext_lazy(
        "The channel does not know this number under our account: its API cannot send the money back. It was taken "
        "under another account. Have the channel's support send it back, then explain the case."
    ),
    "no_clear_answer": gettext_lazy(
        "The channel gave no clear answer. Nothing was done; ask again in a while."
    ),
    "nothing_there": gettext_lazy(
        "The channel itself says that it took nothing, or gave it back already: there is nothing to send back."
    ),
    "no_notification": gettext_lazy("The message is not there any more."),
}


def person(request: HttpRequest) -> Person:
    """Who acts, and from where."""
    user = request.user if isinstance(request.user, User) else None
    return Person(user, addresses.of(request) or None)


def inputs_of(sent: Any, way: Way) -> dict[str, str]:
    """What was typed for the way, amounts in minor units."""
    typed = {one.name: str(sent.get(PREFIX + one.name, "")).strip()[:200] for one in way.inputs}
    return {name: value for name, value in typed.items() if value}


def preview(case: Case, way: Way, inputs: Mapping[str, str]) -> tuple[Preview | None, str]:
    """What it would do, or why it cannot be done."""
    try:
        found = resolve.preview(
            case_number=case.number, resolution=way.code, inputs=inputs, now=timezone.now()
        )
    except REFUSED as error:
        return None, why(error)
    return found, ""


def why(error: Exception) -> str:
    """A refusal in the reader's words; the stable code stays readable for support."""
    if isinstance(error, CannotBeDone):
        text = str(CANNOT.get(error.reason, error.reason))
        return f"{text} ({error.detail})" if error.detail else text
    if isinstance(error, resolve.WouldBreak):
        return _("It would break what holds now: %(why)s") % {"why": error}
    return next(str(text) for kind, text in REFUSALS.items() if isinstance(error, kind))


def confirm(request: HttpRequest, case: Case) -> bool:
    """Do what was shown, or ask a second person for it; tell the reader what became of it."""
    sent = request.POST
    try:
        way = resolve.way_of(case, sent.get("way", ""))
    except resolve.NoSuchWay as error:
        messages.error(request, why(error))
        return False
    given: dict[str, Any] = {
        "case_number": case.number,
        "resolution": way.code,
        "inputs": inputs_of(sent, way),
        "fingerprint": sent.get("fingerprint", "")[:64],
        "reason": sent.get("reason", "").strip(),
        "by": person(request),
        "key": f"page:{sent.get('key', '')[:64]}",
        "now": timezone.now(),
        "typed_minor": minor_of(sent.get("typed", ""), case.currency),
    }
    return told(request, lambda: _do(request, given))


def _do(request: HttpRequest, given: dict[str, Any]) -> None:
    try:
        done = resolve.execute(**given)
        closed = done.case.state not in ACTIVE_STATES
        text = (
            _("Done. The case is closed.")
            if closed
            else _("Done. The case is watched until its cause is gone.")
        )
        messages.success(request, text)
    except resolve.NeedsTwoPeople:
        approve.request(**given)
        messages.success(request, _("Asked for. A second person decides; nothing has moved yet."))


def told(request: HttpRequest, act: Callable[[], Any]) -> bool:
    try:
        act()
    except REFUSED as error:
        messages.error(request, why(error))
        return False
    return True


def minor_of(text: str, currency: str) -> int | None:
    """An amount that a person typed, e.g. `1,280.00`, in the currency's smallest unit."""
    plain = text.replace(",", "").replace("，", "").replace("¥", "").replace("￥", "").strip()
    if not AMOUNT(plain):
        return None
    minor = Decimal(plain).scaleb(get_currency_precision(currency))
    return int(minor) if minor == minor.to_integral_value() else None


def ask(request: HttpRequest, case: Case) -> None:
    """Ask the channel; the answer stands on the page, among what the channel says."""

    def act() -> None:
        answer = enquiry.ask(case, by=person(request), now=timezone.now())
        messages.info(request, _("The channel says: %(what)s") % {"what": kinds.answer(answer.facts["what"])})

    told(request, act)


def assign(request: HttpRequest, case_ids: Iterable[int], *, owner: User | None, reason: str = "") -> int:
    return assigning.give(case_ids, owner=owner, by=person(request), now=timezone.now(), reason=reason)


def note(request: HttpRequest, case: Case, text: str) -> None:
    assigning.note(case, text, by=person(request), now=timezone.now())
    messages.success(request, _("Noted."))
