"""The desk's groups: what each may do, and what reaches groups that have been there for long."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection

from desk import roles
from desk.models import GivenRight

pytestmark = pytest.mark.django_db


def rights(role: str) -> set[str]:
    found = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    return {f"{label}.{codename}" for label, codename in found}


def looks(role: str) -> set[str]:
    return {right for right in rights(role) if right.partition(".")[2].startswith("view_")}


def a_new_table() -> Permission:
    content = ContentType.objects.create(app_label="payments", model="payout")
    return Permission.objects.create(codename="view_payout", name="Can view payout", content_type=content)


def without(role: str, codename: str) -> None:
    Group.objects.get(name=role).permissions.remove(Permission.objects.get(codename=codename))


def test_each_role_has_its_rights_and_nobody_may_change_money() -> None:
    roles.make_groups()
    for role, deeds in roles.RIGHTS.items():
        assert rights(role) - looks(role) == set(deeds)
        assert looks(role) == looks(roles.VIEWER)
    wanted = {"desk.view_case", "payments.view_payment", "ticketing.view_order", "wallet.view_journalentry"}
    assert wanted <= looks(roles.VIEWER)


def test_what_a_migration_brings_reaches_groups_that_are_long_there() -> None:
    """A new table, and a right that a later release adds to a role; by the command that brings them."""
    roles.make_groups()
    Group.objects.get(name="finance").permissions.clear()
    GivenRight.objects.filter(role="finance", right="desk.export_trail").delete()
    a_new_table()
    call_command("migrate", verbosity=0)
    for role in roles.RIGHTS:
        assert "payments.view_payout" in rights(role)
    assert rights("finance") == {"payments.view_payout", "desk.export_trail"}  # the others stay away


def test_what_staff_take_away_or_give_stays_so() -> None:
    roles.make_groups()
    without("operator", "assign_case")
    without("viewer", "view_payment")
    Group.objects.get(name="viewer").permissions.add(Permission.objects.get(codename="export_trail"))
    Group.objects.get(name="risk").delete()
    Group.objects.filter(name="approver").update(name="second pair of eyes")
    roles.make_groups()
    assert "desk.assign_case" not in rights("operator")
    assert "payments.view_payment" not in rights("viewer")
    assert "desk.export_trail" in rights("viewer")
    assert not Group.objects.filter(name__in=("risk", "approver")).exists()


def test_groups_from_before_rights_were_written_down() -> None:
    """As an upgrade finds them: what one of them lacks was taken away, what none has is new."""
    roles.make_groups()
    GivenRight.objects.all().delete()
    without("viewer", "view_payment")
    without("operator", "refund_order")
    a_new_table()
    step = import_module("desk.migrations.0003_sums_and_given_rights")
    with connection.schema_editor() as editor:
        step.note_what_was_given(apps, editor)
    roles.make_groups()
    assert "payments.view_payment" not in rights("viewer")
    assert "payments.view_payment" in rights("finance")
    assert "ticketing.refund_order" not in rights("operator")
    assert all("payments.view_payout" in rights(role) for role in roles.RIGHTS)


def test_a_second_time_changes_nothing() -> None:
    roles.make_groups()
    before = set(Group.permissions.through.objects.values_list("group_id", "permission_id"))
    roles.make_groups()
    assert set(Group.permissions.through.objects.values_list("group_id", "permission_id")) == before
