"""The list of approvals: whose, of which type, page by page, and what it says when it is empty."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from desk.models import Case, CaseState, RequestState, ResolutionRequest
from desk.pages import approvals
from tests.desk.test_inbox_pages import BACKEND, some_cases

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def signed_in(user: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(user, backend=BACKEND)
    return client


def asked_for(cases: list[Case], maker: User, *, now: datetime, **fields: Any) -> list[ResolutionRequest]:
    return ResolutionRequest.objects.bulk_create(
        ResolutionRequest(
            **{
                "key": f"test:{case.pk}",
                "case": case,
                "resolution": "explain",
                "currency": "CNY",
                "reason": "as the papers say",
                "maker": maker,
                "made_at": now + timedelta(seconds=nth),
                "preview": _shown(case),
                **fields,
            }
        )
        for nth, case in enumerate(cases)
    )


def _shown(case: Case) -> dict[str, Any]:
    nothing: dict[str, Any] = {name: [] for name in ("moves", "lines", "messages", "checks")}
    flags = {"needs_two": True, "types_amount": False, "fingerprint": "", "moved_minor": 0}
    about = {"case": case.number, "resolution": "explain", "inputs": {}, "answer": "", "currency": "CNY"}
    return nothing | flags | about | {"case_becomes": "explained", "amount_minor": case.amount_minor}


def listed(client: Client, **query: str) -> list[int]:
    page = client.get(reverse("admin:desk_approvals"), query)
    assert page.status_code == 200
    return [row["request"].pk for row in page.context["requests"]]


def test_whose_and_of_which_type(now: datetime) -> None:
    mei, bo = (User.objects.create_superuser(name) for name in ("mei", "bo"))
    cases = some_cases(8, now=now, kind="suspense_differs", state=CaseState.APPROVAL)
    Case.objects.filter(pk__in=[case.pk for case in cases[:2]]).update(kind="refund_refused")
    meis, bos = asked_for(cases[:3], mei, now=now), asked_for(cases[3:5], bo, now=now)
    over = asked_for(
        cases[5:], bo, now=now, state=RequestState.APPROVED, checker=mei, checked_at=now, check_reason="seen"
    )
    waiting, client = [*meis, *bos], signed_in(mei)
    assert set(listed(client)) == {one.pk for one in waiting}
    assert listed(client, show="others") == [one.pk for one in bos]
    assert listed(client, show="mine") == [one.pk for one in reversed(meis)]
    assert listed(client, show="decided") == [one.pk for one in reversed(over)]
    assert listed(client, kind="refund_refused") == [one.pk for one in meis[:2]]
    assert listed(client, show="others", kind="refund_refused") == []
    assert set(listed(client, kind="no such type", show="nobody’s")) == {one.pk for one in waiting}
    tabs = client.get(reverse("admin:desk_approvals"), {"kind": "refund_refused"}).context["tabs"]
    assert all("kind=refund_refused" in tab["address"] for tab in tabs)


def test_page_by_page_at_a_bounded_number_of_questions(now: datetime) -> None:
    mei, bo = (User.objects.create_superuser(name) for name in ("mei", "bo"))
    client, cost = signed_in(mei), []
    listed(client)
    for first, count in ((0, 3), (3, approvals.PAGE * 2)):
        cases = some_cases(count, now=now, first=first, state=CaseState.APPROVAL)
        asked_for(cases, bo, now=now, checker=None)
        with CaptureQueriesContext(connection) as queries:
            listed(client)
        cost.append(len(queries))
    assert cost[0] == cost[1] <= 8
    pages = [listed(client, page=str(page)) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [approvals.PAGE, approvals.PAGE, 3]
    assert len({pk for page in pages for pk in page}) == approvals.PAGE * 2 + 3
    assert client.get(reverse("admin:desk_approvals"), {"page": "4"}).url == reverse("admin:desk_approvals")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "Nobody waits for a second person."),
        ({"show": "others"}, "No colleague waits for you."),
        ({"show": "mine"}, "You have not asked for anything yet."),
        ({"show": "decided"}, "No request was decided yet."),
        ({"kind": "refund_refused"}, "No request is about a case of this type."),
    ],
)
def test_an_empty_list_says_why(query: dict[str, str], said: str) -> None:
    client = signed_in(User.objects.create_superuser("mei"))
    assert said in client.get(reverse("admin:desk_approvals"), query).content.decode()
