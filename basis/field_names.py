"""
The words for our models and their fields, as the staff's pages show them.

Django names a field after its attribute, in English and untranslated. What is told here is translated instead, for all
models at once: no migration, for a word is no part of a table. A field that needs a better word than its attribute's
says so itself, with `verbose_name`.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Field, Model
from django.utils.translation import gettext_lazy
from django.utils.translation import gettext_noop as _

# fmt: off
NAMES = frozenset((
    _("about en"), _("about zh"), _("accept equal seats"), _("account"), _("account age days"),
    _("action"), _("actor"), _("address"), _("amount minor"), _("applied at"), _("approved by"), _("at"),
    _("attempts"), _("back minor"), _("balance minor"), _("before txid"), _("body"), _("burned at"),
    _("burned for"), _("buyer"), _("buyer id"), _("came seen"), _("cancellation"), _("cancelled at"), _("case"),
    _("cashier kind"), _("cashier url"), _("cause"), _("channel"), _("channel reference"),
    _("check reason"), _("checked at"), _("checker"), _("city en"), _("city zh"), _("client key"),
    _("closed at"), _("closes at"), _("code"), _("colour"), _("created at"), _("currency"),
    _("destination"), _("done at"), _("doors at"), _("due at"), _("effects"), _("eligibility"), _("ends at"),
    _("email index"), _("ended at"), _("entry"), _("event"), _("event id"), _("expected"), _("expires at"),
    _("facts"), _("fence"), _("fingerprint"), _("floor minor"), _("floor seen"), _("folded at"),
    _("from state"), _("headers"), _("held minor"), _("hold limit"), _("hold until"), _("inputs"),
    _("issued at"), _("issued safe"), _("kept minor"), _("key"), _("key id"), _("kind"), _("label"),
    _("last error"), _("lease until"), _("leased until"), _("made at"), _("maker"), _("memo"), _("nonce"),
    _("number"), _("offered at"), _("opened at"), _("opening at"), _("opens at"), _("order"),
    _("order seat"), _("organiser"), _("outcome"), _("owner"), _("paid at"), _("payable until"),
    _("payee account"), _("payee name"), _("payload"), _("payment"), _("payment number"),
    _("per buyer limit"), _("phase"), _("phone index"), _("placed at"), _("policy"), _("position"),
    _("preview"), _("price minor"), _("published"), _("purchase kind"), _("purchase number"),
    _("quantity"), _("query"), _("queue"), _("rank"), _("reason"), _("received at"), _("reference"),
    _("refund"), _("refunded at"), _("refusal"), _("refusal text"), _("repeats"), _("request"),
    _("request id"), _("requested by"), _("resolution"), _("return url"), _("reverses"), _("right"),
    _("role"), _("room"), _("row"), _("row rank"), _("seat"), _("seat after"), _("seats"), _("section"),
    _("seed"), _("seen at"), _("sent at"), _("serving seen"), _("settlement"), _("show"),
    _("silent since"), _("since"), _("slug"), _("starts at"), _("state"), _("statement"), _("subject"),
    _("subject kind"), _("suggested"), _("sums"), _("superseded at"), _("switch"), _("taken"),
    _("taken at"), _("ticket"), _("tier"), _("to state"), _("topup"), _("txid"), _("venue"), _("verdict"),
    _("version"), _("watch until"), _("weight"), _("winner"), _("withdrawal"), _("worker"), _("zone"),
))
# fmt: on
MODELS = {
    "risk.PolicyVersion": (_("policy version"), _("policy versions")),
    "desk.InboxSums": (_("sums of the inbox"), _("sums of the inbox")),
    "desk.GivenRight": (_("right given to a role"), _("rights given to roles")),
}


def translate(models: Iterable[type[Model]]) -> None:
    """Let every field and model without a word of its own be told in the reader's language."""
    for model in models:
        if model._meta.label in MODELS:
            one, many = MODELS[model._meta.label]
            model._meta.verbose_name, model._meta.verbose_name_plural = gettext_lazy(one), gettext_lazy(many)
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            if is_plain(field) and field.verbose_name in NAMES:
                field.verbose_name = gettext_lazy(str(field.verbose_name))


def is_plain(field: Field) -> bool:
    """Whether the field's name is the one that Django made of its attribute."""
    return field.verbose_name == (field.name or "").replace("_", " ")
