"""One person with two accounts is one person; who may no longer ask is no longer one of two; rights leave a trail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from desk import approve, resolve, roles
from desk.models import CaseState, RequestState, TrailEntry
from desk.trail import Person
from tests.desk.test_two_people import asked, in_suspense, slip  # noqa: F401  (fixtures)

PASSWORD = "a long password of its own"


@pytest.fixture
def root(desk):
    client = Client()
    client.force_login(desk.people["root"])
    return client


def page(user, what="change"):
    return f"/admin/accounts/user/{user.pk}/{what}/"


def form(user, **changes):
    sent = {"name": user.name, "language": user.language, "vip_level": user.vip_level, "is_active": "on"}
    sent["user_permissions"] = list(user.user_permissions.values_list("pk", flat=True))
    return {**sent, "handle": user.handle, **({"is_staff": "on"} if user.is_staff else {}), **changes}


def as_now(user):
    return Person(User.objects.get(pk=user.pk))


def asked_by_root(desk, slip):  # noqa: F811
    return desk.ask(slip, desk.preview(slip, "reverse_entry", entry="slip"), "root")


class TestOneWithTwoAccounts:
    def refused(self, request, user, desk):
        for decide in (approve.approve, approve.reject):
            with pytest.raises(approve.SamePerson):
                decide(request_id=request.pk, by=as_now(user), reason="it is fine", now=timezone.now())
        assert in_suspense() == 500

    def test_an_account_that_the_maker_made(self, root, slip, desk):  # noqa: F811
        given = {
            "handle": "other.me",
            "usable_password": "true",
            "password1": PASSWORD,
            "password2": PASSWORD,
        }
        assert root.post("/admin/accounts/user/add/", given).status_code == 302
        other = User.objects.get(handle="other.me")
        rights = Permission.objects.filter(codename="approve_resolution").values_list("pk", flat=True)
        sent = form(other, is_staff="on", user_permissions=list(rights))
        assert root.post(page(other), sent).status_code == 302
        assert as_now(other).user.has_perm("desk.approve_resolution")
        self.refused(asked_by_root(desk, slip), other, desk)

    def test_a_colleague_whose_password_the_maker_set(self, root, slip, desk):  # noqa: F811
        bo, request = desk.people["bo"], asked_by_root(desk, slip)
        answer = root.post(page(bo, "password"), {"password1": PASSWORD, "password2": PASSWORD})
        assert answer.status_code == 302
        assert as_now(bo).user.check_password(PASSWORD)
        self.refused(request, bo, desk)

    def test_after_a_while_he_is_himself_again(self, root, slip, desk):  # noqa: F811
        bo, request = desk.people["bo"], asked_by_root(desk, slip)
        assert root.post(page(bo), form(bo, name="Bo")).status_code == 302
        later = timezone.now() + approve.HIS_FOR + timedelta(minutes=1)
        approve.approve(request_id=request.pk, by=as_now(bo), reason="seen", now=later)
        assert in_suspense() == 0

    def test_where_nobody_else_is_left_it_is_not_even_asked_for(self, root, slip, desk):  # noqa: F811
        bo = desk.people["bo"]
        assert root.post(page(bo), form(bo, name="Bo")).status_code == 302
        with pytest.raises(approve.NoChecker):
            asked_by_root(desk, slip)
        assert desk.state(slip) == CaseState.OPEN

    def test_somebody_elses_change_is_no_matter(self, root, asked, desk):  # noqa: F811
        bo = desk.people["bo"]
        assert root.post(page(bo), form(bo, name="Bo")).status_code == 302
        approve.approve(request_id=asked.pk, by=as_now(bo), reason="seen", now=timezone.now())
        assert in_suspense() == 0


@pytest.mark.parametrize("gone", ["left", "role taken"])
def test_who_may_not_ask_any_more_is_no_longer_one_of_two(asked, slip, desk, gone):  # noqa: F811
    mei = desk.people["mei"]
    if gone == "left":
        User.objects.filter(pk=mei.pk).update(is_active=False)
    else:
        mei.user_permissions.clear()
    assert approve.review(request_id=asked.pk, now=desk.clock()).stale
    with pytest.raises(resolve.StalePreview):
        approve.approve(request_id=asked.pk, by=desk.person("bo"), reason="seen", now=desk.clock())
    asked.refresh_from_db()
    assert (asked.state, desk.state(slip), in_suspense()) == (RequestState.STALE, CaseState.OPEN, 500)


class TestRights:
    @pytest.fixture
    def clerk(self, desk):
        """May change accounts, and is no superuser."""
        one = User.objects.create_user("clerk", is_staff=True)
        codes = (
            "view_user",
            "change_user",
            "add_user",
            "view_group",
            "change_group",
            "add_group",
            "delete_group",
        )
        one.user_permissions.set(Permission.objects.filter(codename__in=codes))
        client = Client()
        client.force_login(one)
        return client

    def test_who_is_no_superuser_gives_no_rights(self, clerk, buyer, desk):
        lin = buyer("lin")
        everything = [*Permission.objects.values_list("pk", flat=True)]
        sent = form(lin, is_staff="on", is_superuser="on", user_permissions=everything, name="Lin")
        assert clerk.post(page(lin), sent).status_code == 302
        lin.refresh_from_db()
        assert (lin.name, lin.is_staff, lin.is_superuser) == ("Lin", False, False)
        assert not lin.user_permissions.exists()

    def test_nor_touches_an_account_of_the_staff(self, clerk, desk):
        for who in ("mei", "root"):
            assert clerk.post(page(desk.people[who]), form(desk.people[who])).status_code == 403
            sent = {"password1": PASSWORD, "password2": PASSWORD}
            assert clerk.post(page(desk.people[who], "password"), sent).status_code == 403
            assert not as_now(desk.people[who]).user.check_password(PASSWORD)

    def test_nor_a_role(self, clerk, desk):
        roles.make_groups()
        viewer = Group.objects.get(name="viewer")
        for what in ("change", "delete"):
            answer = clerk.post(f"/admin/auth/group/{viewer.pk}/{what}/", {"name": "mine", "post": "yes"})
            assert answer.status_code == 403
        assert clerk.post("/admin/auth/group/add/", {"name": "mine"}).status_code == 403

    def test_what_is_given_stands_in_the_trail(self, root, desk):
        roles.make_groups()
        mei, role = desk.people["mei"], Group.objects.get(name="approver")
        assert root.post(page(mei), form(mei, groups=[role.pk], handle="renamed")).status_code == 302
        entry = TrailEntry.objects.get(action="account_changed")
        assert (entry.actor, entry.subject) == ("staff:root", f"account {mei.pk}")
        assert entry.facts["groups"] == ["approver"]
        assert User.objects.get(pk=mei.pk).handle == "mei"
        shown = root.get("/admin/desk/case/trail/?action=account_changed").content.decode()
        assert f"account {mei.pk}" in shown

    def test_nobody_gives_himself_rights(self, root, desk):
        me = desk.people["root"]
        assert root.post(page(me), form(me)).status_code == 302
        assert as_now(me).user.is_superuser
