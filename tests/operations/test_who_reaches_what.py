"""
Every address of the product against everybody who could ask it. The addresses are read from the URL conf: one that is
new fails here until it is said who may reach it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import models
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from desk import detect, roles
from tests.operations.scene import Scene

ANYBODY, SIGNED_IN, STAFF, PROGRAM = "anybody", "signed in", "staff", "program"

# Pages and API: who may ask. What belongs to somebody is not found by anybody else (tests/api/test_whose_it_is.py).
OPEN = {
    *("livez", "readyz", "notify/<slug:channel>/", "i18n/setlang/", "challenge/"),
    *("api/schema/", "api/docs/", "api/problems/", "api/problems/<str:code>"),
    *("api/v1/auth/register", "api/v1/challenge", "api/v1/ticket-key"),
    *("api/v1/events", "api/v1/events/<slug:slug>", "api/v1/shows/<slug:code>"),
    *("api/v1/shows/<slug:code>/availability", "api/v1/shows/<slug:code>/refund-rule"),
    "api/v1/shows/<slug:code>/sections/<str:section>/seats",
    *("", "events/<slug:slug>/", "sign-in/", "sign-up/", "sign-out/"),
    *("admin/login/", "admin/logout/"),
}
BUYERS = {
    *("api/v1/auth/session", "api/v1/auth/me", "api/v1/auth/tokens", "api/v1/auth/tokens/<int:token_id>"),
    *("api/v1/shows/<slug:code>/queue", "shows/<slug:code>/queue/", "shows/<slug:code>/queue/leave/"),
    *("shows/<slug:code>/sections/", "shows/<slug:code>/sections/<slug:section>/"),
    "submissions/<str:receipt>/",
}
BUYERS_BELOW = (
    *("api/v1/orders", "api/v1/rush/", "api/v1/tickets", "api/v1/payments", "api/v1/wallet"),
    *("orders/", "wallet/", "tickets/"),
)
# The staff's own pages: the right that each needs, for a look and for a deed. None: staff need no further right.
DEEDS: dict[str, str | None] = {
    "metrics": "payments.view_outboxmessage",
    "admin/boards/sale/": "ticketing.view_order",
    "admin/boards/finance/": "payments.view_payment",
    "admin/boards/health/": "payments.view_outboxmessage",
    **dict.fromkeys(("admin/", "admin/search/", "admin/password_change/", "admin/password_change/done/")),
    **dict.fromkeys(("admin/jsi18n/", "admin/(?P<url>.*)$")),
    # Django asks for the right to look at what is searched, and wants its name.
    "admin/autocomplete/": "nobody without a name",
    "admin/r/<path:content_type_id>/<path:object_id>/": None,
    "admin/^(?P<app_label>APPS)/$": None,
    "admin/accounts/user/<id>/password/": "accounts.change_user",
    "admin/risk/killswitch/throw/<str:action>/<str:kind>/": "risk.throw_killswitch",
    "admin/risk/killswitch/throw/<str:action>/<str:kind>/<slug:target>/": "risk.throw_killswitch",
    "admin/payments/dispute/file/": "payments.add_dispute",
    "admin/payments/dispute/<int:pk>/decide/": "payments.change_dispute",
    "admin/payments/statement/upload/": "payments.add_statement",
    "admin/payments/statement/<int:pk>/file/": "payments.view_statement",
    "admin/payments/withdrawal/<int:pk>/decide/": "payments.approve_withdrawal",
    "admin/ticketing/refundrequest/of/<str:number>/": "ticketing.refund_order",
    "admin/ticketing/showcancellation/of/<slug:code>/": "ticketing.cancel_show",
    "admin/ticketing/organiser/<int:pk>/withdraw/": "payments.request_withdrawal",
    "admin/desk/case/waiting/": "desk.view_case",
    "admin/desk/case/approvals/": "desk.view_case",
    "admin/desk/case/trail/": "desk.view_case",
    "admin/desk/case/trail/export/": "desk.export_trail",
    "api/v1/desk/cases/<slug:number>": "desk.view_case",
}
# Deeds that are posted, or whose right depends on what is asked for: reached by a post.
POSTED: dict[str, str] = {
    "admin/risk/riskfinding/<int:pk>/decide/": "risk.change_riskfinding",
    "admin/desk/case/assign/": "desk.assign_case",
    "admin/desk/case/views/save/": "desk.view_case",
    "admin/desk/case/views/<int:pk>/forget/": "desk.view_case",
    "admin/desk/case/approvals/<int:pk>/": "desk.view_case",  # deciding: tests/desk/test_two_people.py
    "admin/desk/case/<int:pk>/resolve/": "desk.resolve_QUEUE",
    "admin/desk/case/<int:pk>/ask/": "desk.view_case",
    "admin/desk/case/<int:pk>/take/": "desk.assign_case",
    "admin/desk/case/<int:pk>/note/": "desk.assign_case",
    "api/v1/desk/cases/<slug:number>/preview": "desk.resolve_QUEUE",
    "api/v1/desk/cases/<slug:number>/resolve": "desk.resolve_QUEUE",
    "api/v1/desk/cases/<slug:number>/requests": "desk.resolve_QUEUE",
    "api/v1/desk/orders/<slug:number>/refund-requests": "ticketing.refund_order",
    "api/v1/desk/shows/<slug:code>/cancellation-requests": "ticketing.cancel_show",
    "api/v1/desk/requests/<int:request_id>/approve": "desk.approve_resolution",
    "api/v1/desk/requests/<int:request_id>/reject": "desk.approve_resolution",
    "api/v1/desk/disputes": "payments.add_dispute",
    "api/v1/desk/disputes/<int:dispute_id>/decide": "payments.change_dispute",
}
APPS = re.compile(r"\(\?P<app_label>[a-z|]+\)")


def routes() -> list[str]:
    def walk(patterns: Any, before: str = "") -> Iterator[str]:
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, route)
            elif isinstance(pattern, URLPattern):
                yield APPS.sub("(?P<app_label>APPS)", route)

    return sorted(set(walk(get_resolver().url_patterns)))


def of_models() -> dict[str, tuple[type[models.Model], str]]:
    """The pages that the admin site makes of itself: whose they are, and the right that each takes."""
    found = {}
    for model, page in admin.site._registry.items():
        label, name = model._meta.app_label, model._meta.model_name
        home = f"admin/{label}/{name}/"
        takes = {"": "view", "<path:object_id>/change/": "view", "<path:object_id>/history/": "view"}
        takes |= {"add/": "add", "<path:object_id>/delete/": "delete", "<path:object_id>/": "view"}
        found |= {f"{home}{rest}": (model, f"{label}.{deed}_{name}") for rest, deed in takes.items()}
        assert page.get_urls()
    return found


@pytest.mark.django_db  # One test must ask for it, or this file alone gets no test database to play the scene in.
def test_every_address_says_who_may_reach_it() -> None:
    said = OPEN | BUYERS | DEEDS.keys() | POSTED.keys() | of_models().keys()
    new = [route for route in routes() if route not in said and not route.startswith(BUYERS_BELOW)]
    assert new == [], "say in OPEN, BUYERS, DEEDS or POSTED above who may reach these"
    assert said - set(routes()) == set(), "these are no more"


class Addresses:
    """Fills the routes with things of the scene, so that what refuses is the rule and not a missing thing."""

    def __init__(self, scene: Scene) -> None:
        detect.run(now=scene.tick())
        self.order = next(one for one in scene.orders.values() if one.state == "paid")
        self.known: dict[str, Any] = {
            **{"number": self.order.number, "code": scene.show.code, "slug": scene.show.event.slug},
            **{"section": "A1", "action": "stop", "kind": "sale", "target": scene.show.code, "url": "x"},
            **{
                "app_label": "payments",
                "channel": "alipay",
                "token_id": 1,
                "receipt": "x",
                "refund": "R0000000",
            },
            **{"content_type_id": 1, "object_id": 1, "id": 1, "pk": 1, "request_id": 1, "dispute_id": 1},
        }

    def case(self) -> Any:
        from desk.models import Case

        found = Case.objects.filter(closed_at=None).order_by("pk").first()
        assert found is not None
        return found

    def of(self, route: str, model: type[models.Model] | None = None) -> str:
        known = dict(self.known)
        if model is None and (found := re.match(r"admin/([a-z]+)/([a-z]+)/", route)):
            here = [one for one in admin.site._registry if one._meta.label_lower == ".".join(found.groups())]
            model = here[0] if here else None
        thing = model._default_manager.order_by("pk").first() if model is not None else None
        if thing is not None:
            known |= {"object_id": thing.pk, "pk": thing.pk, "id": thing.pk}
        if "/case" in route:
            known |= {"pk": self.case().pk, "object_id": self.case().pk, "number": self.case().number}
        plain = re.sub(r"\(\?P<(\w+)>[^)]*\)\$?|<(?:\w+:)?(\w+)>", lambda m: str(known[m[1] or m[2]]), route)
        return "/" + plain.replace("^", "").replace("$", "")


@pytest.fixture
def addresses(scene: Scene, undone: None) -> Addresses:
    return Addresses(scene)


def client(user: User | None) -> Client:
    it = Client(raise_request_exception=False)
    if user is not None:
        it.force_login(user)
    return it


def is_refused(answer: Any) -> bool:
    to_the_door = answer.status_code in (302, 303) and "login" in answer.headers["Location"]
    to_sign_in = answer.status_code in (302, 303) and "sign-in" in answer.headers["Location"]
    return answer.status_code in (401, 403) or to_the_door or to_sign_in


def staff_routes() -> list[tuple[str, type[models.Model] | None]]:
    theirs: list[tuple[str, type[models.Model] | None]] = [(one, None) for one in (*DEEDS, *POSTED)]
    return theirs + [(route, model) for route, (model, _right) in of_models().items()]


@pytest.mark.parametrize("who", ["nobody", "a buyer"])
def test_who_is_no_staff_reaches_nothing_of_the_staff(who: str, scene: Scene, addresses: Addresses) -> None:
    visitor = client(scene.buyers[0] if who == "a buyer" else None)
    reached = []
    for route, model in staff_routes():
        address = addresses.of(route, model)
        asked = [visitor.get(address)] if model else [visitor.get(address), visitor.post(address, {})]
        for answer in asked:
            # What the API asks for first is a method that there is.
            if not is_refused(answer) and answer.status_code != 405:
                reached.append((address, answer.status_code))
    assert reached == []


def test_nobody_reaches_what_is_a_buyers(addresses: Addresses) -> None:
    visitor, reached = client(None), []
    for route in routes():
        if route in BUYERS or route.startswith(BUYERS_BELOW):
            address = addresses.of(route)
            for answer in (visitor.get(address), visitor.post(address, {})):
                if not is_refused(answer) and answer.status_code not in (404, 405, 415):
                    reached.append((address, answer.status_code))
    # Asked about the queue and the seats of a show, we answer everybody; signing in is for who is not.
    answered = {address for address, _status in reached}
    assert answered <= {
        "/api/v1/auth/session",
        *(f"/api/v1/shows/{addresses.known['code']}/queue", f"/shows/{addresses.known['code']}/queue/"),
        *(f"/shows/{addresses.known['code']}/sections/", f"/shows/{addresses.known['code']}/sections/A1/"),
    }, reached


def member(role: str) -> User:
    roles.make_groups()
    one = User.objects.create_user(f"a.{role or 'clerk'}", is_staff=True)
    if role:
        one.groups.add(Group.objects.get(name=role))
    return User.objects.get(pk=one.pk)


@pytest.mark.parametrize("role", ["", *roles.RIGHTS])
def test_each_role_reaches_what_its_rights_say(role: str, addresses: Addresses) -> None:
    who = member(role)
    visitor = client(who)
    queue = addresses.case().queue
    wrong = []
    for route, right in (*DEEDS.items(), *POSTED.items()):
        address = addresses.of(route)
        may = right is None or who.has_perm(right.replace("QUEUE", queue))
        kind = {"content_type": "application/json"} if route.startswith("api/") else {}
        sent = {"headers": {"Idempotency-Key": "k"}, **kind}
        answer = visitor.post(address, {}, **sent) if route in POSTED else visitor.get(address)
        if answer.status_code >= 500 or (answer.status_code == 403) == may:
            wrong.append((address, right, may, answer.status_code))
    assert wrong == [], "\n".join(map(str, wrong))


def test_all_roles_together_neither_add_nor_delete_by_the_admin_sites_own_pages(addresses: Addresses) -> None:
    """What is made, is made by the pages of its own service; what is money is never deleted."""
    who = member("")
    who.groups.set(Group.objects.filter(name__in=roles.RIGHTS))
    visitor, reached = client(who), []
    for route, (model, right) in of_models().items():
        if route.endswith(("/add/", "/delete/")):
            answer = visitor.post(addresses.of(route, model), {"post": "yes"})
            if answer.status_code != 403:
                reached.append((right, answer.status_code))
    assert reached == []
