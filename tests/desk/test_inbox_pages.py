"""The inbox: what it shows, in which order, to whom, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from desk import detect, inbox, roles, types
from desk.models import Case, CaseState, InboxSums, SavedView, TrailEntry
from desk.tasks import sum_inbox

pytestmark = pytest.mark.django_db

BACKEND = "accounts.signin.PhoneOrEmailBackend"
INBOX = "/admin/desk/case/"
QUERIES_AT_MOST = 12


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def staff() -> Callable[..., Client]:
    """`staff("mei", "operator")`: mei's browser, signed in."""

    def make(handle: str, *groups: str, superuser: bool = False) -> Client:
        roles.make_groups()
        user = User.objects.create_user(handle, is_staff=True, is_superuser=superuser)
        user.groups.set(Group.objects.filter(name__in=groups))
        client = Client()
        client.force_login(user, backend=BACKEND)
        return client

    return make


@pytest.fixture
def boss(staff: Callable[..., Client]) -> Client:
    return staff("boss", superuser=True)


def some_cases(count: int, *, now: datetime, first: int = 0, **fields: Any) -> list[Case]:
    kinds = list(types.TYPES.values())
    cases = []
    for n in range(first, first + count):
        kind, since = kinds[n % len(kinds)], fields.get("since", now - timedelta(minutes=7 * n, seconds=30))
        amount_minor = fields.get("amount_minor", 1000 * (n % 97))
        cases.append(
            Case(
                **{
                    "number": f"C{n:019}",
                    "kind": kind.code,
                    "subject_kind": kind.subject_kind,
                    "subject": f"{n}"
                    if kind.subject_kind in ("notification", "discrepancy", "dispute")
                    else f"S{n}",
                    "queue": kind.queue,
                    "channel": ("alipay", "wechat", "wallet", "")[n % 4],
                    "amount_minor": amount_minor,
                    "currency": "CNY",
                    "since": since,
                    "opened_at": since,
                    "due_at": since + kind.due,
                    "weight": detect.weight_of(amount_minor, since, now),
                    "suggested": kind.suggested,
                    **fields,
                }
            )
        )
    return Case.objects.bulk_create(cases)


def shown(client: Client, **query: str) -> list[Case]:
    answer = client.get(INBOX, query)
    assert answer.status_code == 200
    return [row.case for row in answer.context["rows"]]


def test_a_page_asks_at_most_twelve_questions_however_many_cases_wait(boss: Client, now: datetime) -> None:
    asked = []
    for first, count in ((0, 3), (3, 600)):
        some_cases(count, now=now, first=first, owner=User.objects.get() if first else None)
        sum_inbox()
        with CaptureQueriesContext(connection) as queries:
            boss.get(INBOX)
        asked.append(len(queries))
    assert max(asked) <= QUERIES_AT_MOST
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "query",
    [
        *("", "kind=refund_refused", "queue=finance", "owner=none", "channel=alipay"),
        *("order=due", "order=oldest", "order=money", "late=1"),
    ],
)
def test_the_first_page_reads_an_index_and_sorts_nothing(query: str, now: datetime) -> None:
    some_cases(5_000, now=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE desk_case")
        name, _equals, value = query.partition("=")
        filters = inbox.Filters.read({name: value} if name else {})
        found = inbox.matching(filters, viewer_id=1, now=now)[:51]
        plan = found.explain()
    assert "Sort" not in plan, plan
    assert "desk_case_inbox" in plan, plan


def test_most_money_for_the_longest_time_stands_on_top(boss: Client, now: datetime) -> None:
    old = now - timedelta(days=2)
    some_cases(1, now=now, first=1, amount_minor=1_000_00)
    some_cases(1, now=now, first=2, amount_minor=900_00, since=old)
    some_cases(1, now=now, first=3, amount_minor=0, since=old)
    assert [case.amount_minor for case in shown(boss)] == [900_00, 1_000_00, 0]
    assert [case.amount_minor for case in shown(boss, order="money")] == [1_000_00, 900_00, 0]


def test_filters_and_sums_agree(boss: Client, now: datetime) -> None:
    some_cases(30, now=now)
    some_cases(2, now=now, first=40, state=CaseState.APPROVAL)
    some_cases(4, now=now, first=50, state=CaseState.RESOLVED, closed_at=now)
    page = boss.get(INBOX)
    sums = page.context["sums"]
    assert sums.count == 32
    assert sums.at_risk == {"CNY": sum(c.amount_minor for c in Case.objects.filter(closed_at=None))}
    assert sums.late == Case.objects.filter(closed_at=None, due_at__lt=now).count()
    for kind, count in sums.kinds.items():
        assert len(shown(boss, kind=kind)) == count
    assert len(shown(boss, late="1")) == sums.late
    assert len(shown(boss, state="approval")) == 2
    assert len(shown(boss, state="closed")) == 4
    [case] = shown(boss, text="C0000000000000000007")
    assert case.subject == "S7"
    assert shown(boss, text="S7") == [case]


def test_pages_follow_each_other(boss: Client, now: datetime) -> None:
    some_cases(120, now=now)
    seen = [case.pk for page in ("1", "2", "3") for case in shown(boss, page=page)]
    assert len(seen) == len(set(seen)) == 120
    assert shown(boss, page="x' OR 1=1") == shown(boss)


def test_a_job_takes_the_sums_and_pages_do_not(boss: Client, now: datetime) -> None:
    sum_inbox()
    some_cases(3, now=now)
    with CaptureQueriesContext(connection) as queries:
        assert boss.get(INBOX).context["sums"].count == 0
    assert not [query for query in queries if "SUM(" in query["sql"]]
    sum_inbox()
    assert boss.get(INBOX).context["sums"].count == 3


def test_what_a_person_does_is_in_the_sums_at_once(staff: Callable[..., Client], now: datetime) -> None:
    mei = staff("mei", "operator")
    cases = some_cases(40, now=now)
    sum_inbox()
    Case.objects.filter(pk=cases[39].pk).delete()  # the others are not counted anew
    mei.post(reverse("admin:desk_assign"), {"case": [case.pk for case in cases[:3]], "owner": "me"})
    sums = inbox.summary(now=now)
    assert (sums.count, sums.unowned) == (40, 37)
    with inbox.counted_again([cases[0].pk], now=now):
        Case.objects.filter(pk=cases[0].pk).update(state=CaseState.ACTED)
    sums = inbox.summary(now=now)
    assert (sums.count, sums.unowned) == (39, 37)
    sum_inbox()
    taken = inbox.take_summary(now=datetime.now(UTC))
    assert replace(inbox.summary(now=now), taken_at=None) == taken


def test_sums_that_nobody_takes_say_so(boss: Client, now: datetime) -> None:
    assert boss.get(INBOX).context["as_of"] is None
    InboxSums.objects.update(taken_at=now - timedelta(minutes=3))
    page = boss.get(INBOX, headers={"accept-language": "en"})
    assert "the job that takes them does not run" in page.content.decode()


@pytest.mark.parametrize("query", ["", "order=due", "order=oldest", "order=money", "order=newest"])
def test_from_case_to_case_in_the_order_of_the_inbox(boss: Client, now: datetime, query: str) -> None:
    some_cases(9, now=now)
    Case.objects.filter(number__endswith="3").update(weight=50, amount_minor=2000)
    Case.objects.filter(number__endswith="4").update(weight=50, since=now, due_at=now)
    Case.objects.filter(number__endswith="5").update(since=now, due_at=now)
    name, _equals, value = query.partition("=")
    order = [case.pk for case in shown(boss, **({name: value} if name else {}))]
    assert len(order) == 9
    for n, pk in enumerate(order):
        page = boss.get(reverse("admin:desk_case_change", args=[pk]), {"from": query} if query else {})
        around = [page.context[name] for name in ("preceding", "following")]
        tail = f"?{urlencode({'from': query})}" if query else ""
        wanted = [
            reverse("admin:desk_case_change", args=[order[i]]) + tail if 0 <= i < len(order) else ""
            for i in (n - 1, n + 1)
        ]
        assert around == wanted


def test_the_way_back_leads_to_the_same_page_of_the_same_filters(boss: Client, now: datetime) -> None:
    some_cases(120, now=now, channel="alipay")
    page = boss.get(INBOX, {"channel": "alipay", "page": "2"})
    case = page.context["rows"][0].case
    at_case = boss.get(reverse("admin:desk_case_change", args=[case.pk]), {"from": page.context["query"]})
    assert at_case.context["inbox_address"] == f"{INBOX}?channel=alipay&page=2"
    Case.objects.filter(pk__gt=case.pk - 100).delete()
    emptied = boss.get(INBOX, {"channel": "alipay", "page": "3"})
    assert emptied.url == f"{INBOX}?channel=alipay"


def test_an_open_inbox_learns_that_it_is_no_longer_true(boss: Client, now: datetime) -> None:
    some_cases(2, now=now)
    assert boss.get(reverse("admin:desk_waiting")).json()["count"] == 2
    some_cases(1, now=now, first=5)
    sum_inbox()
    assert boss.get(reverse("admin:desk_waiting")).json()["count"] == 3


def test_colour_follows_the_age_limit(now: datetime) -> None:
    case = some_cases(1, now=now, since=now, due_at=now + timedelta(hours=4))[0]
    hours = [(0, "fine"), (2.9, "fine"), (3.1, "soon"), (4, "late")]
    assert [inbox.urgency(case, now=now + timedelta(hours=h)) for h, _ in hours] == [
        word for _, word in hours
    ]


def test_nothing_sent_is_markup(boss: Client, now: datetime) -> None:
    some_cases(1, now=now, subject="<script>x()</script>", facts={"error": "<script>y()</script>"})
    assert b"<script>x()" not in boss.get(INBOX, {"text": "<script>z()</script>"}).content
    page = boss.get(reverse("admin:desk_case_change", args=[Case.objects.get().pk])).content
    assert b"<script>x()" not in page
    assert b"<script>y()" not in page
    assert b"&lt;script&gt;y()" in page


# -- giving out ------------------------------------------------------------------------------------------------------


def test_many_cases_are_given_out_at_once_and_the_trail_says_so(
    staff: Callable[..., Client], now: datetime
) -> None:
    mei = staff("mei", "operator")
    some_cases(5, now=now)
    keys = list(Case.objects.values_list("pk", flat=True)[:3])
    assert mei.post(reverse("admin:desk_assign"), {"case": keys, "owner": "me"}).status_code == 302
    assert set(Case.objects.exclude(owner=None).values_list("pk", flat=True)) == set(keys)
    assert TrailEntry.objects.filter(actor="staff:mei", action="assigned").count() == 3
    assert len(shown(mei, owner="me")) == 3
    mei.post(reverse("admin:desk_assign"), {"case": keys[:1], "owner": "none"})
    assert len(shown(mei, owner="none")) == 3
    wang = User.objects.create_user("wang", is_staff=True)
    mei.post(reverse("admin:desk_assign"), {"case": keys, "owner": "to", "to": wang.pk})
    assert Case.objects.filter(owner=wang).count() == 3


def test_all_that_the_filters_find_are_given_out_at_once(staff: Callable[..., Client], now: datetime) -> None:
    """Also those of other pages, and none beside; with as many statements as a handful takes."""
    mei, costs = staff("mei", "operator"), []
    some_cases(130, now=now)
    Case.objects.filter(number__endswith="7").update(channel="wechat")
    for sent in ({"query": "channel=wechat"}, {"query": "channel=alipay&page=2&order=oldest"}):
        with CaptureQueriesContext(connection) as asked:
            mei.post(reverse("admin:desk_assign"), {"all": "1", "owner": "me", **sent})
        costs.append(len(asked))
    meant = Case.objects.filter(channel__in=("wechat", "alipay"))
    assert set(Case.objects.exclude(owner=None)) == set(meant)
    assert TrailEntry.objects.filter(action="assigned").count() == meant.count() > inbox.PAGE
    assert costs[0] == costs[1] <= 16  # session, user, rights and savepoints among them
    page = mei.get(INBOX, headers={"accept-language": "en"}).content.decode()
    assert "and all others that this view finds" in page


def test_a_viewer_gives_out_nothing(staff: Callable[..., Client], now: datetime) -> None:
    viewer = staff("eye", "viewer")
    [case] = some_cases(1, now=now)
    for name, args in (("desk_assign", []), ("desk_take", [case.pk]), ("desk_note", [case.pk])):
        sent = {"case": case.pk, "owner": "me", "note": "x"}
        assert viewer.post(reverse(f"admin:{name}", args=args), sent).status_code == 403
    case.refresh_from_db()
    assert case.owner_id is None
    assert viewer.get(INBOX).status_code == 200


def test_who_has_no_role_sees_no_desk(staff: Callable[..., Client], now: datetime) -> None:
    stranger = staff("stranger")
    [case] = some_cases(1, now=now)
    for name, args in (
        ("desk_case_changelist", []),
        ("desk_case_change", [case.pk]),
        ("desk_approvals", []),
        ("desk_trail", []),
        ("desk_trail_export", []),
    ):
        assert stranger.get(reverse(f"admin:{name}", args=args)).status_code == 403
    buyer = Client()
    assert buyer.get(INBOX).status_code == 302  # to the sign-in page


# -- saved views -----------------------------------------------------------------------------------------------------


def test_a_view_is_saved_shared_replaced_and_forgotten(staff: Callable[..., Client], now: datetime) -> None:
    mei, wang = staff("mei", "operator"), staff("wang", "finance")
    sent = {"name": "Late at Alipay", "channel": "alipay", "late": "1", "shared": "on"}
    mei.post(reverse("admin:desk_save_view"), sent)
    tabs = {tab.title: tab.address for tab in wang.get(INBOX).context["tabs"]}
    assert tabs["Late at Alipay"] == f"{INBOX}?channel=alipay&late=1"
    mei.post(reverse("admin:desk_save_view"), {"name": "Late at Alipay", "channel": "wechat"})
    [view] = SavedView.objects.all()
    assert view.query == {"channel": "wechat"}
    assert "Late at Alipay" not in {tab.title for tab in wang.get(INBOX).context["tabs"]}
    wang.post(reverse("admin:desk_forget_view", args=[view.pk]))
    assert SavedView.objects.exists()
    mei.post(reverse("admin:desk_forget_view", args=[view.pk]))
    assert not SavedView.objects.exists()


# -- the trail ---------------------------------------------------------------------------------------------


def test_the_trail_is_read_and_taken_away_by_those_who_may(
    staff: Callable[..., Client], now: datetime
) -> None:
    mei, chen = staff("mei", "operator"), staff("chen", "finance")
    some_cases(2, now=now)
    keys = list(Case.objects.values_list("pk", flat=True))
    mei.post(reverse("admin:desk_assign"), {"case": keys, "owner": "me"})
    page = chen.get(reverse("admin:desk_trail"), {"actor": "staff:mei"})
    assert len(page.context["entries"]) == 2
    assert mei.get(reverse("admin:desk_trail_export")).status_code == 403
    taken = b"".join(
        chen.get(reverse("admin:desk_trail_export"), {"format": "csv"}).streaming_content
    ).decode()
    assert taken.startswith("\N{ZERO WIDTH NO-BREAK SPACE}at,actor,action")
    assert taken.count("staff:mei") == 2
    lines = b"".join(chen.get(reverse("admin:desk_trail_export"), {"format": "json"}).streaming_content)
    assert len(lines.splitlines()) == 2
    none = chen.get(reverse("admin:desk_trail"), {"since": "2200-01-01", "until": "not a day"})
    assert none.context["entries"] == []
