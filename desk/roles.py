"""
Who may do what at the desk: five groups, made once by a migration.

Everybody may look; operator, finance and risk resolve the cases of their queue; the approver is the second person. A
person may be in several. What is taken from a group or given to it afterwards stays so: this module only makes groups
that are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q

VIEWER, OPERATOR, APPROVER, FINANCE, RISK = "viewer", "operator", "approver", "finance", "risk"

LOOKED_AT = ("basis", "accounts", "wallet", "risk", "payments", "ticketing", "operations", "desk")
RIGHTS: Mapping[str, tuple[str, ...]] = {
    VIEWER: (),
    OPERATOR: (
        *("desk.assign_case", "desk.resolve_operations"),
        *("risk.throw_killswitch", "ticketing.refund_order"),
    ),
    APPROVER: ("desk.approve_resolution",),
    FINANCE: (
        *("desk.assign_case", "desk.resolve_finance", "desk.export_trail"),
        *("payments.add_statement", "ticketing.refund_order"),
    ),
    RISK: (
        *("desk.assign_case", "desk.resolve_risk"),
        *("risk.throw_killswitch", "risk.hold_settlement", "risk.change_riskfinding"),
    ),
}


def make_groups() -> None:
    """Make the groups that are missing. Rights exist only after a migration's end, so those of ours are made first."""
    missing = set(RIGHTS) - set(Group.objects.filter(name__in=RIGHTS).values_list("name", flat=True))
    if not missing:
        return
    for label in LOOKED_AT:
        create_permissions(apps.get_app_config(label), verbosity=0)
    for name in sorted(missing):
        group = Group.objects.create(name=name)
        group.permissions.set(rights_of(RIGHTS[name]))


def rights_of(names: Iterable[str]) -> Iterable[Permission]:
    """The right to look at everything of ours, and those named (`app.codename`)."""
    wanted = Q(content_type__app_label__in=LOOKED_AT, codename__startswith="view_")
    for name in names:
        label, codename = name.split(".")
        wanted |= Q(content_type__app_label=label, codename=codename)
    return Permission.objects.filter(wanted)
