"""
The staff's sidebar: what one looks at often, in the order of the day's work. Each entry is shown to who may follow it;
everything else is under "All applications".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from desk.pages import badges

# Title, icon (Material Symbols), the right it needs, the address's name.
Entry = tuple[Any, str, str, str]

GROUPS: list[tuple[Any, list[Entry]]] = [
    (
        _("Now"),
        [
            (_("Overview"), "home", "", "admin:index"),
            (_("Live sale"), "monitoring", "ticketing.view_order", "boards:sale"),
            (_("Finance"), "account_balance", "payments.view_payment", "boards:finance"),
            (_("Health"), "vital_signs", "payments.view_outboxmessage", "boards:health"),
        ],
    ),
    (
        _("Desk"),
        [
            (_("Inbox"), "inbox", "desk.view_case", "admin:desk_case_changelist"),
            (_("Approvals"), "approval", "desk.view_case", "admin:desk_approvals"),
            (_("Audit trail"), "policy", "desk.view_case", "admin:desk_trail"),
        ],
    ),
    (
        _("Sale"),
        [
            (_("Orders"), "receipt_long", "ticketing.view_order", "admin:ticketing_order_changelist"),
            (
                _("E-tickets"),
                "confirmation_number",
                "ticketing.view_ticket",
                "admin:ticketing_ticket_changelist",
            ),
            (_("Events"), "event", "ticketing.view_event", "admin:ticketing_event_changelist"),
            (_("Shows"), "theater_comedy", "ticketing.view_show", "admin:ticketing_show_changelist"),
            (_("Waiting rooms"), "hourglass_top", "risk.view_room", "admin:risk_room_changelist"),
            (
                _("Refund rules"),
                "rule_folder",
                "ticketing.view_refundpolicy",
                "admin:ticketing_refundpolicy_changelist",
            ),
            (
                _("Kill switches"),
                "emergency_home",
                "risk.view_killswitch",
                "admin:risk_killswitch_changelist",
            ),
        ],
    ),
    (
        _("Money"),
        [
            (_("Payments"), "payments", "payments.view_payment", "admin:payments_payment_changelist"),
            (_("Refunds"), "undo", "payments.view_refund", "admin:payments_refund_changelist"),
            (
                _("Settlements with organisers"),
                "storefront",
                "ticketing.view_showsettlement",
                "admin:ticketing_showsettlement_changelist",
            ),
            (_("Withdrawals"), "output", "payments.view_withdrawal", "admin:payments_withdrawal_changelist"),
            (
                _("Notifications"),
                "inbox",
                "payments.view_notification",
                "admin:payments_notification_changelist",
            ),
            (
                _("Statements"),
                "description",
                "payments.view_statement",
                "admin:payments_statement_changelist",
            ),
            (
                _("Discrepancies"),
                "difference",
                "payments.view_discrepancy",
                "admin:payments_discrepancy_changelist",
            ),
            (_("Disputes"), "gavel", "payments.view_dispute", "admin:payments_dispute_changelist"),
            (_("Ledger"), "menu_book", "wallet.view_journalentry", "admin:wallet_journalentry_changelist"),
            (_("Accounts"), "wallet", "wallet.view_account", "admin:wallet_account_changelist"),
        ],
    ),
    (
        _("Risk"),
        [
            (_("Judgements"), "gavel", "risk.view_judgement", "admin:risk_judgement_changelist"),
            (_("Rules"), "rule", "risk.view_rulesetting", "admin:risk_rulesetting_changelist"),
            (_("Limits"), "speed", "risk.view_limitsetting", "admin:risk_limitsetting_changelist"),
            (
                _("Merchants' trading"),
                "storefront",
                "risk.view_riskfinding",
                "admin:risk_riskfinding_changelist",
            ),
        ],
    ),
]

# What waits there, as a number beside the entry.
WAITING: dict[str, Callable[[HttpRequest], str]] = {
    "admin:desk_case_changelist": badges.waiting_cases,
    "admin:desk_approvals": badges.waiting_approvals,
}


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's sidebar for this member of the staff."""
    shown = []
    for title, entries in GROUPS:
        items = [item for entry in entries if (item := _item(request, *entry)) is not None]
        if items:
            shown.append({"title": title, "items": items})
    return shown


def _item(request: HttpRequest, title: Any, icon: str, right: str, name: str) -> dict[str, Any] | None:
    if right and not request.user.has_perm(right):
        return None
    try:
        link = reverse(name)
        item = {"title": title, "icon": icon, "link": link, "active": _is_here(request.path, link)}
    except NoReverseMatch:
        return None
    waiting = WAITING[name](request) if name in WAITING else ""
    return item | {"badge": waiting} if waiting else item


def _is_here(path: str, link: str) -> bool:
    """The page itself or one below it; the desk's other pages stand below the inbox and have entries of their own."""
    if path == link:
        return True
    below = path.removeprefix(link)
    return link != reverse("admin:index") and below != path and not below.startswith(("approvals/", "trail/"))
