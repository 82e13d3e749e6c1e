"""A refund above the limit of one person: asked for from its page, approved by another one, done once or not at all."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from desk import approve, detect, resolve, trail, wishes
from desk.models import Case, CaseState, RequestState, ResolutionRequest
from tests.desk import wanting
from tests.desk.wanting import tickets_of
from ticketing import refund_preview, refunding
from ticketing.models import RefundRequest, Ticket

KEYS = itertools.count()


@pytest.fixture
def order(paid, settings, desk):
    """An order whose refund takes two people."""
    wanting.takes_two(settings, desk, "refund_order")
    return paid("lin")[0]


@pytest.fixture
def ask(order, desk):
    def make(who: str = "mei", key: str = "k", **changes) -> ResolutionRequest:
        wish = wanting.whole_refund(order, now=desk.clock(), **changes)
        return wanting.ask(desk, wish, by=who, key=key)

    return make


def approved(asked: ResolutionRequest, desk, who: str = "bo"):
    return approve.approve(request_id=asked.pk, by=desk.person(who), reason="seen", now=desk.clock())


def state_of(asked: ResolutionRequest) -> tuple[str, str]:
    asked = ResolutionRequest.objects.select_related("case").get(pk=asked.pk)
    return asked.state, asked.case.state


class TestRefundWanted:
    def test_another_person_approves_and_it_is_paid_back_once(self, order, ask, desk):
        asked = ask()
        assert RefundRequest.objects.count() == 0, "asking moves nothing"
        told = asked.case.facts
        assert told["sources"] == [["alipay", order.amount_minor]]
        moves = {(move["kind"], move["before"], move["after"]) for move in asked.preview["moves"]}
        assert {("ticket", "valid", "void"), ("seat", "S", ""), ("refund", "", "requested")} <= moves
        assert sum(line["amount_minor"] for line in asked.preview["lines"]) == 0
        assert approved(asked, desk) == approved(asked, desk), "pressed twice"
        made = RefundRequest.objects.get()
        assert (made.actor, made.approved_by, made.amount_minor) == ("mei", "bo", order.amount_minor)
        desk.work()
        order.refresh_from_db()
        assert order.state == "refunded"
        assert state_of(asked) == (RequestState.APPROVED, CaseState.RESOLVED)
        assert [entry.action for entry in trail.entries(subject=asked.case.number).order_by("pk")] == [
            *("asked_for", "approved", "resolved"),
        ]
        desk.ends_clean(asked.case)

    @pytest.mark.parametrize("who", ["bo", "root"])
    def test_who_asked_decides_nothing_superuser_or_not(self, ask, desk, who):
        asked = ask(who)
        for decide in (approve.approve, approve.reject):
            with pytest.raises(approve.SamePerson):
                decide(request_id=asked.pk, by=desk.person(who), reason="it is fine", now=desk.clock())
        assert RefundRequest.objects.count() == 0

    def test_one_person_cannot_resolve_the_case_either(self, ask, desk):
        asked = ask()
        shown = desk.preview(asked.case, "refund_order")
        with pytest.raises(resolve.NotOpen):
            resolve.execute(**desk.given(asked.case, shown, "root"))
        assert RefundRequest.objects.count() == 0

    def test_what_changed_since_is_refused_and_the_wish_is_over(self, order, ask, desk):
        asked = ask()
        Ticket.objects.filter(number=tickets_of(order)[0]).update(state="used")
        assert approve.review(request_id=asked.pk, now=desk.clock()).stale
        with pytest.raises(resolve.StalePreview):
            approved(asked, desk)
        assert state_of(asked) == (RequestState.STALE, CaseState.GONE)
        assert RefundRequest.objects.count() == 0
        assert ask(key="anew", tickets=tickets_of(order)[1:]).state == RequestState.WAITING

    def test_a_small_refund_in_between_makes_it_stale(self, order, ask, desk):
        asked = ask()
        refunding.by_staff(
            number=order.number,
            tickets=[],
            amount_minor=100,
            reason="goodwill",
            key="small",
            actor="mei",
            now=desk.clock(),
        )
        with pytest.raises(resolve.StalePreview):
            approved(asked, desk)
        assert RefundRequest.objects.count() == 1

    def test_declined_and_withdrawn_are_over_and_can_be_asked_anew(self, ask, desk):
        first = ask(key="one")
        with pytest.raises(wishes.AskedBefore):
            ask(key="two")
        approve.reject(request_id=first.pk, by=desk.person("bo"), reason="not ill", now=desk.clock())
        assert state_of(first) == (RequestState.REJECTED, CaseState.GONE)
        second = ask(key="two")
        approve.withdraw(request_id=second.pk, by=desk.person("mei"), now=desk.clock())
        assert state_of(second) == (RequestState.WITHDRAWN, CaseState.GONE)
        assert ask(key="three").pk not in (first.pk, second.pk)
        assert ask(key="three").pk == ask(key="three").pk
        with pytest.raises(resolve.KeyReused):
            ask(key="three", seats_after="kept")

    def test_a_case_without_its_request_is_closed_after_a_minute(self, order, ask, desk, monkeypatch):
        def dies(**_given):
            raise KeyboardInterrupt

        monkeypatch.setattr(approve, "request", dies)
        with pytest.raises(KeyboardInterrupt):
            ask()
        case = Case.objects.get()
        assert case.state == CaseState.OPEN
        detect.run(now=desk.clock())
        assert desk.state(case) == CaseState.OPEN
        desk.clock.advance(minutes=2)
        detect.run(now=desk.clock())
        assert desk.state(case) == CaseState.GONE

    def test_nothing_is_asked_for_that_one_person_may_or_nobody_can(self, order, ask, desk):
        with pytest.raises(approve.NotNeeded):
            ask(amount_minor=10_000)
        with pytest.raises(refunding.NotRefundable, match="too_much"):
            ask(amount_minor=order.amount_minor + 1)
        with pytest.raises(refunding.NotRefundable, match="stale"):
            ask(fingerprint="0" * 32)
        with pytest.raises(resolve.NotAllowed):
            ask("guest")
        assert not Case.objects.exclude(state=CaseState.GONE).exists()

    def test_money_back_is_told_by_its_source(self, till, buyer, order, desk, settle_outbox):
        mixed = till.order(buyer("wang", cash=20_000, bonus=70_000))
        till.press(mixed, "wallet")
        mixed.refresh_from_db()
        seen = refund_preview.preview(
            mixed, tickets=tickets_of(mixed), amount_minor=mixed.amount_minor, actor="mei", now=desk.clock()
        )
        assert {source.code: source.amount_minor for source in seen.sources} == {
            "buyer_bonus": 70_000,
            "buyer_cash": mixed.amount_minor - 70_000,
        }
        settle_outbox()


class TestOnThePages:
    def client(self, desk, who: str) -> Client:
        person = desk.people[who]
        person.user_permissions.add(Permission.objects.get(codename="view_case"))
        client = Client()
        client.force_login(person)
        return client

    def test_asked_from_the_refund_page_and_approved_by_another_person(self, order, desk):
        mei, bo = self.client(desk, "mei"), self.client(desk, "bo")
        address = f"/admin/ticketing/refundrequest/of/{order.number}/"
        given = {
            "tickets": tickets_of(order),
            "amount": f"{order.amount_minor / 100:.2f}",
            "seats_after": "free",
            "reason": "the buyer is ill",
            "key": "k1",
        }
        page = mei.post(address, given | {"preview": "1"}).content.decode()
        assert 'name="ask"' in page
        assert 'name="confirm"' not in page
        mark = re.search(r'name="fingerprint" value="(\w+)"', page)[1]
        gone = mei.post(address, given | {"ask": "1", "fingerprint": mark})
        assert gone.status_code == 302, gone.content.decode()
        seen = mei.get(gone["Location"]).content.decode()
        assert 'value="approve"' not in seen
        mei.post(gone["Location"], {"decision": "approve", "reason": "it is fine"})
        assert RefundRequest.objects.count() == 0, "he made himself a button"
        assert 'value="approve"' in bo.get(gone["Location"]).content.decode()
        bo.post(gone["Location"], {"decision": "approve", "reason": "seen the letter"})
        assert RefundRequest.objects.get().approved_by == "bo"
        assert mei.post(address, given | {"ask": "1", "fingerprint": mark}).status_code == 302, "the same key"
        assert ResolutionRequest.objects.count() == 1

    def test_a_stale_page_asks_for_nothing(self, order, desk):
        mei = self.client(desk, "mei")
        given = {"amount": "600", "seats_after": "free", "reason": "goodwill", "key": "k1"}
        page = mei.post(
            f"/admin/ticketing/refundrequest/of/{order.number}/",
            given | {"ask": "1", "fingerprint": "0" * 32},
        )
        assert page.status_code == 200
        assert "data-error" in page.content.decode()
        assert ResolutionRequest.objects.count() == 0


class TestThroughTheApi:
    client = TestOnThePages.client

    def post(self, client: Client, path: str, **body):
        return client.post(
            f"/api/v1/desk/{path}",
            json.dumps(body),
            content_type="application/json",
            headers={"Idempotency-Key": f"k{next(KEYS)}"},
        )

    def test_the_same_person_is_refused_and_another_one_is_not(self, order, desk):
        root, bo = self.client(desk, "root"), self.client(desk, "bo")
        wanted = {"tickets": tickets_of(order), "amount_minor": order.amount_minor, "reason": "ill"}
        asked = self.post(root, f"orders/{order.number}/refund-requests", **wanted)
        assert asked.status_code == 201, asked.content
        path = f"requests/{asked.json()['id']}/approve"
        assert self.post(root, path).json()["code"] == "same_person"
        assert RefundRequest.objects.count() == 0
        assert [self.post(bo, path, reason="seen").status_code for _ in range(2)] == [200, 200]
        assert RefundRequest.objects.get().approved_by == "bo"

    def test_what_cannot_be_refunded_is_not_asked_for(self, order, desk):
        root = self.client(desk, "root")
        refused = self.post(
            root, f"orders/{order.number}/refund-requests", amount_minor=order.amount_minor + 1, reason="ill"
        )
        assert (refused.status_code, refused.json()["code"]) == (409, "cannot_be_done")
        assert self.post(root, "orders/K404/refund-requests", amount_minor=1, reason="ill").status_code == 404
