"""Two people: never the same one, not as a superuser, not through the API, not by a row; and nothing stale."""

from __future__ import annotations

import itertools
import json

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection, transaction
from django.test import Client

from desk import approve, resolve, trail
from desk.models import CaseState, RequestState, Resolution, ResolutionRequest, TrailEntry
from payments import money
from wallet import ledger
from wallet.ledger import Entry, Line

SUSPENSE, OPENING = money.suspense("CNY"), ledger.account_code("opening")
KEYS = itertools.count()


@pytest.fixture
def slip(buyer, desk):
    """Money in suspense that nothing explains: setting it right takes two people, whatever the amount."""
    buyer("lin", cash=1000)
    ledger.post(Entry("slip", "by_hand", "", (Line(OPENING, -500), Line(SUSPENSE, 500))), at=desk.clock())
    return desk.one("suspense_differs")


@pytest.fixture
def asked(slip, desk):
    return desk.ask(slip, desk.preview(slip, "reverse_entry", entry="slip"))


def in_suspense() -> int:
    return ledger.balance(SUSPENSE)


def test_one_person_cannot_do_it(slip, desk):
    shown = desk.preview(slip, "reverse_entry", entry="slip")
    with pytest.raises(resolve.NeedsTwoPeople):
        resolve.execute(**desk.given(slip, shown, "bo"))
    with pytest.raises(resolve.NeedsTwoPeople):
        resolve.execute(**desk.given(slip, shown, "root"))
    assert (in_suspense(), desk.state(slip), Resolution.objects.count()) == (500, CaseState.OPEN, 0)


@pytest.mark.parametrize("who", ["bo", "root"])
def test_the_same_person_twice_is_refused_also_as_superuser(slip, desk, who):
    shown = desk.preview(slip, "reverse_entry", entry="slip")
    asked = desk.ask(slip, shown, who)
    for decide in (approve.approve, approve.reject):
        with pytest.raises(approve.SamePerson):
            decide(request_id=asked.pk, by=desk.person(who), reason="it is fine", now=desk.clock())
    assert (in_suspense(), desk.state(slip)) == (500, CaseState.APPROVAL)


def test_the_database_refuses_the_same_person(asked):
    with pytest.raises(IntegrityError, match="desk_request_two_people"), transaction.atomic():
        ResolutionRequest.objects.update(
            checker=asked.maker, checked_at=asked.made_at, state=RequestState.APPROVED
        )


def test_who_may_not_approve_cannot(asked, desk):
    with pytest.raises(resolve.NotAllowed):
        approve.approve(request_id=asked.pk, by=desk.person("guest"), now=desk.clock())


def test_who_may_not_resolve_cannot_ask(slip, desk):
    shown = desk.preview(slip, "reverse_entry", entry="slip")
    with pytest.raises(resolve.NotAllowed):
        desk.ask(slip, shown, "guest")


def test_nobody_is_asked_where_nobody_could_say_yes(slip, desk):
    shown = desk.preview(slip, "reverse_entry", entry="slip")
    for name in ("bo", "root"):
        desk.people[name].is_active = False
        desk.people[name].save()
    with pytest.raises(approve.NoChecker):
        desk.ask(slip, shown)
    assert desk.state(slip) == CaseState.OPEN


def test_another_person_approves_and_it_is_done_once(asked, slip, desk):
    for _ in range(2):
        done = approve.approve(request_id=asked.pk, by=desk.person("bo"), reason="checked", now=desk.clock())
    assert (done.actor, done.approved_by) == ("staff:mei", "staff:bo")
    assert (in_suspense(), Resolution.objects.count()) == (0, 1)
    asked.refresh_from_db()
    assert (asked.state, asked.checker.handle) == (RequestState.APPROVED, "bo")
    assert list(TrailEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        *("asked_for", "approved", "resolved"),
    ]
    desk.ends_clean(slip)


def test_a_rejected_one_leaves_the_case_open_and_the_money_where_it_is(asked, slip, desk):
    with pytest.raises(resolve.ReasonMissing):
        approve.reject(request_id=asked.pk, by=desk.person("bo"), reason=" ", now=desk.clock())
    approve.reject(request_id=asked.pk, by=desk.person("bo"), reason="wrong entry", now=desk.clock())
    assert (in_suspense(), desk.state(slip)) == (500, CaseState.OPEN)
    with pytest.raises(approve.NotWaiting):
        approve.approve(request_id=asked.pk, by=desk.person("bo"), now=desk.clock())


def test_the_maker_may_take_it_back_and_nobody_else(asked, slip, desk):
    with pytest.raises(resolve.NotAllowed):
        approve.withdraw(request_id=asked.pk, by=desk.person("bo"), now=desk.clock())
    approve.withdraw(request_id=asked.pk, by=desk.person("mei"), now=desk.clock())
    assert desk.state(slip) == CaseState.OPEN


def test_what_changed_since_makes_the_request_stale(asked, slip, desk):
    ledger.post(Entry("other", "by_hand", "", (Line(OPENING, -7), Line(SUSPENSE, 7))), at=desk.clock())
    ledger.reverse("slip", by="somebody-else-was-faster", at=desk.clock())
    seen = approve.review(request_id=asked.pk, now=desk.clock())
    assert seen.stale
    with pytest.raises(resolve.StalePreview):
        approve.approve(request_id=asked.pk, by=desk.person("bo"), now=desk.clock())
    asked.refresh_from_db()
    assert (asked.state, desk.state(slip)) == (RequestState.STALE, CaseState.OPEN)
    assert in_suspense() == 7


def test_a_stale_preview_of_one_person_is_refused_too(till, buyer, pass_time, desk):
    till.house.fault("no_answer", op="open", times=1)
    till.house.fault("http_500", op="query", times=None)
    payment = till.press(till.order(buyer("lin")), "wechat")
    pass_time(minutes=6)
    case = desk.one("payment_unknown")
    shown = desk.preview(case, "ask_channel")  # the channel is silent: it would be asked again
    till.house.control("DELETE", "faults")
    till.house.pay("wechat", payment.number)
    with pytest.raises(resolve.StalePreview):  # now it would be paid, which nobody has seen
        resolve.execute(**desk.given(case, shown, "mei"))
    payment.refresh_from_db()
    assert payment.state == "unknown"


def test_a_case_that_goes_by_itself_takes_its_request_along(asked, slip, desk):
    ledger.reverse("slip", by="undone-elsewhere", at=desk.clock())
    desk.look()
    asked.refresh_from_db()
    assert (asked.state, desk.state(slip)) == (RequestState.STALE, CaseState.GONE)


def test_pressing_twice_does_it_once(buyer, desk):
    cash = money.buyer_cash(buyer("lin", cash=1000).pk, "CNY")
    ledger.reserve(key="h1", account=cash, amount_minor=700, reference="K0", now=desk.clock())
    desk.clock.advance(minutes=16)
    case = desk.one("hold_orphaned")
    shown = desk.preview(case, "release_hold")
    given = desk.given(case, shown, "mei")
    assert resolve.execute(**given).pk == resolve.execute(**given).pk
    with pytest.raises(resolve.KeyReused):
        resolve.execute(**given | {"resolution": "explain"})
    with pytest.raises(resolve.NotOpen):
        resolve.execute(**given | {"key": "another"})
    assert Resolution.objects.count() == 1


def test_large_sums_take_two_and_are_typed(buyer, desk, settings):
    settings.DESK_TYPED_FROM_MINOR, settings.DESK_TWO_PEOPLE_FROM_MINOR = 500, 600
    cash = money.buyer_cash(buyer("lin", cash=1000).pk, "CNY")
    ledger.reserve(key="h1", account=cash, amount_minor=700, reference="K0", now=desk.clock())
    desk.clock.advance(minutes=16)
    case = desk.one("hold_orphaned")
    shown = desk.preview(case, "release_hold")
    assert (shown.needs_two, shown.types_amount) == (True, True)
    for typed in (None, 699):
        with pytest.raises(resolve.AmountNotTyped):
            desk.ask(case, shown, typed_minor=typed)
    asked = desk.ask(case, shown)
    approve.approve(request_id=asked.pk, by=desk.person("bo"), now=desk.clock())
    desk.ends_clean(case)


@pytest.mark.parametrize(
    "table", ["desk_trailentry", "desk_resolution", "desk_caseevent", "desk_requestevent"]
)
def test_what_was_done_cannot_be_changed(asked, desk, table):
    approve.approve(request_id=asked.pk, by=desk.person("bo"), now=desk.clock())
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with (
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_the_trail_is_exported(asked, desk):
    approve.approve(request_id=asked.pk, by=desk.person("bo"), reason="=HYPERLINK(1)", now=desk.clock())
    lines = list(trail.export_csv(trail.entries()))
    assert len(lines) == 4
    assert "'=HYPERLINK(1)" in lines[2]
    told = [json.loads(line) for line in trail.export_json(trail.entries(actor="staff:bo"))]
    assert [one["action"] for one in told] == ["approved", "resolved"]
    assert told[0]["facts"]["maker"] == "mei"
    assert list(trail.entries(subject=asked.case.number, until=asked.made_at)) == []


class TestThroughTheApi:
    def client(self, desk, who: str) -> Client:
        person = desk.people[who]
        if not person.is_superuser:
            person.user_permissions.add(Permission.objects.get(codename="view_case"))
        client = Client()
        client.force_login(person)
        return client

    def post(self, client: Client, path: str, **body):
        return client.post(
            f"/api/v1/desk/{path}",
            json.dumps(body),
            content_type="application/json",
            headers={"Idempotency-Key": f"k{next(KEYS)}"},
        )

    def test_the_same_person_is_refused_and_another_one_is_not(self, slip, desk):
        root, bo = self.client(desk, "root"), self.client(desk, "bo")
        told = root.get(f"/api/v1/desk/cases/{slip.number}").json()
        assert (told["type"], told["resolutions"][0]) == ("suspense_differs", "reverse_entry")
        tried = {"resolution": "reverse_entry", "inputs": {"entry": "slip"}}
        shown = self.post(root, f"cases/{slip.number}/preview", **tried).json()
        assert shown["needs_two"]
        wanted = tried | {"fingerprint": shown["fingerprint"], "reason": "a slip of the pen"}
        alone = self.post(root, f"cases/{slip.number}/resolve", **wanted)
        assert (alone.status_code, alone.json()["code"]) == (409, "needs_two_people")
        asked = self.post(root, f"cases/{slip.number}/requests", **wanted)
        assert asked.status_code == 201, asked.content
        path = f"requests/{asked.json()['id']}/approve"
        refused = self.post(root, path, reason="I am root")
        assert (refused.status_code, refused.json()["code"]) == (403, "same_person")
        assert in_suspense() == 500
        done = self.post(bo, path, reason="seen")
        assert (done.status_code, done.json()["approved_by"]) == (200, "staff:bo")
        assert in_suspense() == 0

    def test_who_is_no_staff_sees_nothing(self, slip, buyer, desk):
        client = Client()
        assert client.get(f"/api/v1/desk/cases/{slip.number}").status_code == 401
        client.force_login(buyer("lin"))
        assert client.get(f"/api/v1/desk/cases/{slip.number}").status_code == 403

    def test_a_token_is_not_a_person(self, slip, desk, clock):
        from accounts import tokens

        _token, secret = tokens.issue_token(
            user=desk.people["root"], name="till", scopes=tokens.SCOPES, now=clock()
        )
        answer = Client().get(
            f"/api/v1/desk/cases/{slip.number}", headers={"Authorization": f"Bearer {secret}"}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
