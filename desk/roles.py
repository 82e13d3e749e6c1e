"""
Who may do what at the desk: five groups, made and kept complete after every migration.

Everybody may look; operator, finance and risk resolve the cases of their queue; the approver is the second person. A
person may be in several. Every right is given to a role once (`GivenRight`): a new table's view right, and a right that
a later release adds here, reach groups that are long there; what staff take from a group or give to it stays so, and a
group that they delete or rename does not come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction

from desk.models import GivenRight

VIEWER, OPERATOR, APPROVER, FINANCE, RISK = "viewer", "operator", "approver", "finance", "risk"

LOOKED_AT = ("basis", "accounts", "wallet", "risk", "payments", "ticketing", "operations", "desk")
RIGHTS: Mapping[str, tuple[str, ...]] = {
    VIEWER: (),
    OPERATOR: (
        *("desk.assign_case", "desk.resolve_operations"),
        *("risk.throw_killswitch", "ticketing.refund_order", "ticketing.cancel_show", "payments.add_dispute"),
    ),
    APPROVER: ("desk.approve_resolution", "payments.approve_withdrawal"),
    FINANCE: (
        *("desk.assign_case", "desk.resolve_finance", "desk.export_trail"),
        *("payments.add_statement", "payments.add_dispute", "ticketing.refund_order"),
        "payments.request_withdrawal",
    ),
    RISK: (
        *("desk.assign_case", "desk.resolve_risk"),
        *("risk.throw_killswitch", "risk.hold_settlement", "risk.change_riskfinding"),
        *("payments.add_dispute", "payments.change_dispute"),
    ),
}


def after_migrate(sender: AppConfig, using: str, **_more: Any) -> None:
    """Once the last of our apps has its rights (Django makes them at a migration's end, app by app)."""
    ours = [one.label for one in apps.get_app_configs() if one.label in LOOKED_AT and one.models_module]
    if sender.label != ours[-1] or not router.allow_migrate_model(using, GivenRight):
        return
    # A database may be taken back to where this table was not there yet.
    if GivenRight._meta.db_table in connections[using].introspection.table_names():
        make_groups(using=using)


def make_groups(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Make the groups that never were, and give each role the rights that it was never given. Repeatable."""
    known = _known(using)
    given = set(GivenRight.objects.using(using).values_list("role", "right"))
    groups = {group.name: group for group in Group.objects.using(using).filter(name__in=RIGHTS)}
    with transaction.atomic(using=using):
        for role in sorted({*RIGHTS} - {role for role, _right in given} - {*groups}):
            groups[role] = Group.objects.using(using).create(name=role)
        new = [
            (groups[role], right)
            for role in sorted(groups)
            for right in sorted(_wanted(role, known))
            if (role, right) not in given
        ]
        through = Group.permissions.through
        through.objects.using(using).bulk_create(
            [through(group_id=group.pk, permission_id=known[right]) for group, right in new],
            ignore_conflicts=True,
        )
        GivenRight.objects.using(using).bulk_create(
            [GivenRight(role=group.name, right=right) for group, right in new], ignore_conflicts=True
        )


def _known(using: str) -> dict[str, int]:
    """The rights that there are, `app.codename`, and their keys."""
    found = Permission.objects.using(using).filter(content_type__app_label__in=LOOKED_AT)
    rows = found.values_list("content_type__app_label", "codename", "pk")
    return {f"{label}.{codename}": key for label, codename, key in rows}


def _wanted(role: str, known: Mapping[str, int]) -> set[str]:
    """To look at everything of ours, and what the role is for."""
    looks = {right for right in known if right.partition(".")[2].startswith("view_")}
    return looks | {right for right in RIGHTS[role] if right in known}
