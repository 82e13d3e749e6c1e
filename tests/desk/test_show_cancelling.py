"""A show does not take place: two people decide it, nobody buys any more, and everybody gets all of his money back."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client

from desk import approve, detect, resolve, wishes
from desk.models import CaseState, RequestState, ResolutionRequest
from payments import redirect
from payments.models import OutboxMessage, Payment, Refund
from risk import switches
from risk.room_models import Room, RoomState
from tests.desk import wanting
from ticketing import cancel_work, cancelling, expiry, orders, phases, refunding, seats
from ticketing.cancel_models import CancellationEvent, CancellationState, ShowCancellation
from ticketing.models import Order, OrderState, PriceTier, RefundRequest, Seat, SeatState, Ticket
from ticketing.timeline import timeline
from wallet import statement

PRICE = 38_000


def has(buyer) -> int:
    return statement.balances(buyer.pk, currency="CNY").available_minor


def work(show, now) -> object:
    return cancel_work.work({"show": show.code}, attempt=1, now=now)


@pytest.fixture
def cancelled(desk, show):
    """Decided by two people; `cancelled()` runs the workers until all is back."""

    def make(**more) -> ShowCancellation:
        return cancelling.cancel(
            code=show.code, reason="typhoon", actor="mei", approved_by="bo", now=desk.clock(), **more
        )

    return make


def finish(desk, show, rounds: int = 12) -> ShowCancellation:
    for _ in range(rounds):
        desk.work()
        desk.clock.advance(seconds=20)
    return ShowCancellation.objects.get(show=show)


class TestTheWholeHouse:
    def test_wallet_and_channels_get_all_back_whatever_the_rule(
        self, till, buyer, paid, desk, show, cancelled
    ):
        lin = buyer("zhou", cash=20_000, bonus=80_000)
        from_wallet = till.order(lin)
        till.press(from_wallet, "wallet")
        at_alipay, _ = paid("wang")
        at_wechat, _ = paid("zhao", channel="wechat")
        desk.clock.now = max(
            desk.clock(), show.starts_at.replace(microsecond=0)
        )  # the rule gives nothing any more
        seen = cancelling.preview(show.code)
        assert [(one.channel, one.orders, one.amount_minor) for one in seen.paid] == [
            *(("alipay", 1, 2 * PRICE), ("wallet", 1, 2 * PRICE), ("wechat", 1, 2 * PRICE)),
        ]
        assert (seen.orders, seen.tickets, seen.needs_approval) == (3, 6, True)
        cancelled()
        done = finish(desk, show)
        assert done.state == CancellationState.DONE
        assert done.expected["by_channel"][0]["amount_minor"] == 2 * PRICE
        assert set(Order.objects.values_list("state", flat=True)) == {OrderState.REFUNDED}
        assert has(lin) == 100_000
        assert not Ticket.objects.exclude(state="void").exists()
        assert set(Seat.objects.filter(show=show).values_list("state", flat=True)) == {SeatState.BLOCKED}
        assert phases.taken(at_alipay.phase_id, at_alipay.buyer_id) == 0
        codes = [line.code for line in timeline(Order.objects.get(pk=at_wechat.pk))]
        assert "refund.requested.show_cancelled" in codes
        assert codes[-1] == "order.refunded.refunded_in_full"
        detect.run(now=desk.clock())
        desk.audit_is_clean()

    def test_who_gave_a_ticket_back_for_less_gets_the_rest_too(self, buyer, paid, desk, show, cancelled):
        order, _ = paid("wang")
        ticket = refunding.tickets_of(order)[0]
        refunding.by_staff(
            number=order.number,
            tickets=[ticket.number],
            amount_minor=PRICE // 2,
            reason="late",
            key="k",
            actor="mei",
            now=desk.clock(),
        )
        Ticket.objects.filter(order=order, state="valid").update(state="used")
        cancelled()
        finish(desk, show)
        request = RefundRequest.objects.get(asked_by="show")
        assert (request.amount_minor, request.kept_minor) == (2 * PRICE - PRICE // 2, 0)
        assert len(request.facts["used"]) == 1
        order.refresh_from_db()
        assert order.state == OrderState.REFUNDED
        desk.audit_is_clean()


class TestTheSaleStops:
    def test_open_orders_end_and_money_on_its_way_goes_back(self, till, buyer, desk, show, cancelled):
        held = till.order(buyer("zhou"))
        paying = till.order(buyer("wang"))
        payment = till.press(paying, "alipay")
        till.pay_at_channel(payment)  # and nobody has told us
        cancelled(said_en="The typhoon comes.")
        done = finish(desk, show)
        assert {Order.objects.get(pk=one.pk).state for one in (held, paying)} == {OrderState.CANCELLED}
        assert Payment.objects.get(pk=payment.pk).outcome == "surplus"
        assert Refund.objects.get().state == "succeeded"
        assert done.state == CancellationState.DONE
        assert [line.code for line in timeline(Order.objects.get(pk=held.pk))][-1] == (
            "order.cancelled.show_cancelled"
        )
        desk.audit_is_clean()

    def test_nobody_can_buy_also_when_the_switch_is_thrown_back(self, till, buyer, desk, show, cancelled):
        cancelled()
        assert switches.stopped(switches.SALE, show.code)
        lin = buyer("zhou")
        with pytest.raises(phases.SaleStopped):
            till.order(lin)
        finish(desk, show)
        switches.resume(
            kind=switches.SALE, target=show.code, actor="mei", reason="a mistake", now=desk.clock()
        )
        with pytest.raises(phases.SaleStopped):
            till.order(lin)

    def test_an_order_of_a_process_that_had_not_heard_of_it_ends_too(
        self, buyer, desk, show, cancelled, monkeypatch
    ):
        stale = PriceTier.objects.select_related("show").get(show=show, code="UPPER")
        cancelled()
        with monkeypatch.context() as deaf:
            deaf.setattr(switches, "stopped", lambda *_given: None)

            def place(key: str) -> Order:
                return orders.place_order(
                    buyer=buyer("zhou"),
                    client_key=key,
                    tier_id=stale.pk,
                    tier=stale,
                    quantity=2,
                    now=desk.clock(),
                )

            late = place("before the work")
            work(show, desk.clock())
            with pytest.raises(seats.SoldOut):
                place("after it")
        late.refresh_from_db()
        assert late.state == OrderState.CANCELLED
        assert not Seat.objects.filter(show=show, state="F").exists()

    def test_late_money_finds_no_seats(self, till, buyer, desk, show, cancelled, settle_outbox):
        order = till.order(buyer("zhou"), accept_equal_seats=True)
        payment = till.press(order, "alipay")
        till.pay_at_channel(payment)
        Order.objects.filter(pk=order.pk).update(hold_until=desk.clock(), hold_limit=desk.clock())
        desk.clock.advance(seconds=5)
        expiry.expire_due(now=desk.clock())  # it closed, and only then its money is known
        cancelled()
        work(show, desk.clock())
        till.notify(payment)
        finish(desk, show)
        order.refresh_from_db()
        assert (order.state, Refund.objects.get().reason) == (OrderState.EXPIRED, "too_late")
        desk.audit_is_clean()

    def test_nobody_waits_any_longer(self, desk, show, cancelled):
        room = Room.objects.create(show=show.code, opens_at=desk.clock(), state=RoomState.OPEN)
        cancelled()
        work(show, desk.clock())
        room.refresh_from_db()
        assert room.state == RoomState.CLOSED
        assert room.events.get().actor == "staff:mei"


class TestShowToCancel:
    """The desk's way to it."""

    @pytest.fixture
    def order(self, paid, settings, desk):
        wanting.takes_two(settings, desk, "cancel_show")
        return paid("wang")[0]

    @pytest.fixture
    def ask(self, desk, show):
        def make(who: str = "mei", key: str = "k", **said):
            wish = wishes.cancellation_of(code=show.code, **said)
            return wanting.ask(desk, wish, by=who, key=key, reason="typhoon")

        return make

    def test_another_person_approves_and_everybody_is_refunded(self, order, ask, desk, show):
        asked = ask(said_zh="台风")
        assert not switches.stopped(switches.SALE, show.code), "asking stops nothing"
        assert asked.amount_minor == order.amount_minor
        moves = {(move["kind"], move["before"], move["after"]) for move in asked.preview["moves"]}
        assert {("show", "takes_place", "cancelled"), ("sale", "on", "stopped")} <= moves
        assert [message["kind"] for message in asked.preview["messages"]] == ["show.cancel"]
        for _ in range(2):
            approve.approve(request_id=asked.pk, by=desk.person("bo"), reason="seen", now=desk.clock())
        made = ShowCancellation.objects.get()
        assert (made.actor, made.approved_by, made.said_zh) == ("mei", "bo", "台风")
        assert switches.stopped(switches.SALE, show.code)
        assert finish(desk, show).state == CancellationState.DONE
        desk.ends_clean(asked.case)

    @pytest.mark.parametrize("who", ["bo", "root"])
    def test_who_asked_decides_nothing_superuser_or_not(self, order, ask, desk, who):
        asked = ask(who)
        for decide in (approve.approve, approve.reject):
            with pytest.raises(approve.SamePerson):
                decide(request_id=asked.pk, by=desk.person(who), reason="it is fine", now=desk.clock())
        assert not ShowCancellation.objects.exists()

    def test_a_sale_that_goes_on_does_not_make_it_stale_and_another_cancellation_does(
        self, order, ask, paid, desk, show
    ):
        asked = ask()
        paid("zhao")
        assert not approve.review(request_id=asked.pk, now=desk.clock()).stale
        cancelling.cancel(code=show.code, reason="fire", actor="root", approved_by="guest", now=desk.clock())
        with pytest.raises(resolve.StalePreview):
            approve.approve(request_id=asked.pk, by=desk.person("bo"), now=desk.clock())
        assert ResolutionRequest.objects.get().state == RequestState.STALE

    def test_declined_it_takes_place(self, order, ask, desk, show):
        asked = ask()
        approve.reject(request_id=asked.pk, by=desk.person("bo"), reason="no wind", now=desk.clock())
        assert desk.state(asked.case) == CaseState.GONE
        show.refresh_from_db()
        assert show.cancelled_at is None

    def test_on_the_pages(self, order, desk, show):
        mei, bo = page_of(desk, "mei"), page_of(desk, "bo")
        address = f"/admin/ticketing/showcancellation/of/{show.code}/"
        seen = mei.get(address).content.decode()
        assert 'data-orders="1"' in seen
        assert 'name="confirm"' not in seen
        given = {
            "reason": "typhoon",
            "said_zh": "台风",
            "said_en": "Typhoon.",
            "key": "k1",
            "understood": "on",
        }
        gone = mei.post(address, given | {"confirm": "1"})
        assert "data-error" in gone.content.decode(), "he made himself a button"
        gone = mei.post(address, given | {"ask": "1"})
        assert gone.status_code == 302, gone.content.decode()
        assert 'value="approve"' not in mei.get(gone["Location"]).content.decode()
        bo.post(gone["Location"], {"decision": "approve", "reason": "I called the venue"})
        finish(desk, show)
        made = ShowCancellation.objects.get()
        page = mei.get(address, follow=True).content.decode()
        assert 'data-progress="100"' in page
        (rows,) = re.findall(r'data-sum="back".*?href="([^"]+)"', page)
        found = mei.get(rows.replace("&amp;", "&")).content.decode()
        assert Refund.objects.get().number in found
        assert made.said_en == "Typhoon."

    def test_through_the_api(self, order, desk, show):
        root, bo = page_of(desk, "root"), page_of(desk, "bo")

        def post(client: Client, path: str, **body):
            return client.post(
                f"/api/v1/desk/{path}",
                body,
                content_type="application/json",
                headers={"Idempotency-Key": f"{path}-{len(body)}"},
            )

        asked = post(root, f"shows/{show.code}/cancellation-requests", reason="typhoon")
        assert asked.status_code == 201, asked.content
        path = f"requests/{asked.json()['id']}/approve"
        assert post(root, path).json()["code"] == "same_person"
        assert [post(bo, path, reason="seen").status_code for _ in range(2)] == [200, 200]
        assert ShowCancellation.objects.get().approved_by == "bo"
        assert post(root, "shows/nowhere/cancellation-requests", reason="typhoon").status_code == 404


def page_of(desk, who: str) -> Client:
    person = desk.people[who]
    for name in ("view_case", "view_showcancellation", "view_refund"):
        person.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(person)
    return client


def test_buyers_are_told_on_event_order_and_ticket_pages(buyer, till, desk, show, cancelled):
    lin = buyer("zhou", cash=100_000)
    order = till.order(lin)
    till.press(order, "wallet")
    ticket = Ticket.objects.filter(order=order).first()
    cancelled(said_en="The typhoon comes.", said_zh="台风来了。")
    client = Client(headers={"accept-language": "en"})
    client.force_login(lin)
    for address in (f"/events/{show.event.slug}/", f"/orders/{order.number}/", f"/tickets/{ticket.number}/"):
        page = client.get(address).content.decode()
        assert "data-cancelled" in page, address
        assert "The typhoon comes." in page, address
    assert "data-stop" not in client.get(f"/events/{show.event.slug}/").content.decode()
    assert client.get(f"/orders/{order.number}/give-back/").status_code in (200, 302)
    with pytest.raises(refunding.NotRefundable, match="show_cancelled"):
        refunding.give_back(
            number=order.number,
            tickets=[ticket.number],
            expected_minor=PRICE,
            key="k",
            actor="buyer:1",
            now=desk.clock(),
        )


class TestTwoPeople:
    def test_one_person_alone_and_the_same_twice_are_refused(self, paid, desk, show, settings):
        settings.REFUND_ALONE_MAX_MINOR = 2 * PRICE - 1
        paid("wang")
        given = {"code": show.code, "reason": "typhoon", "actor": "mei", "now": desk.clock()}
        with pytest.raises(cancelling.NotCancellable, match="needs_approval"):
            cancelling.cancel(**given)
        with pytest.raises(cancelling.NotCancellable, match="same_person"):
            cancelling.cancel(**given, approved_by="mei")
        assert not switches.stopped(switches.SALE, show.code)
        settings.REFUND_ALONE_MAX_MINOR = 2 * PRICE
        first = cancelling.cancel(**given)
        assert cancelling.cancel(**given | {"actor": "bo", "reason": "again"}) == first
        assert first.actor == "mei"


class TestItMayDieAnywhere:
    def test_a_slice_that_dies_is_done_again_and_nothing_twice(
        self, till, buyer, desk, show, cancelled, monkeypatch
    ):
        for number in range(5):
            till.press(till.order(buyer(f"b{number}", cash=100_000)), "wallet")
        monkeypatch.setattr(cancel_work, "SLICE", 2)
        monkeypatch.setattr(cancel_work, "SLICES_A_TURN", 1)
        cancelled()
        assert work(show, desk.clock())
        assert RefundRequest.objects.count() == 2

        with monkeypatch.context() as broken:

            def dies(*_given, **_more):
                raise KeyboardInterrupt

            broken.setattr(RefundRequest.objects, "bulk_create", dies)
            with pytest.raises(KeyboardInterrupt):
                work(show, desk.clock())
        assert Refund.objects.count() == 2, "the whole slice is taken back"
        assert OutboxMessage.objects.get(kind=cancelling.WORK).done_at is None, "it is tried again"
        done = finish(desk, show)
        assert done.state == CancellationState.DONE
        assert (Refund.objects.count(), RefundRequest.objects.count()) == (5, 5)
        assert CancellationEvent.objects.filter(to_state="done").count() == 1
        desk.audit_is_clean()

    def test_lost_work_is_driven_by_the_coordinator(self, till, buyer, desk, show, cancelled):
        till.press(till.order(buyer("zhou", cash=100_000)), "wallet")
        cancelled()
        OutboxMessage.objects.filter(kind=cancelling.WORK).delete()
        desk.round()
        assert finish(desk, show).state == CancellationState.DONE

    def test_no_more_refunds_are_asked_for_than_the_workers_send(
        self, paid, desk, show, cancelled, monkeypatch
    ):
        for handle in ("wang", "zhao", "qian"):
            paid(handle)
        monkeypatch.setattr(cancel_work, "SLICE", 1)
        monkeypatch.setattr(cancel_work, "AHEAD", 2)
        cancelled()
        work(show, desk.clock())
        assert Refund.objects.count() == 2, "two wait to be sent: the third is asked for when they are"
        assert finish(desk, show).state == CancellationState.DONE
        assert Refund.objects.filter(state="succeeded").count() == 3


def test_a_channel_that_refuses_becomes_a_case_and_an_offer(till, paid, desk, show, cancelled):
    paid("wang")
    till.house.fault("decline", op="refund", times=None)
    cancelled()
    finish(desk, show, rounds=4)
    refund = Refund.objects.get()
    assert refund.state == "refused"
    assert redirect.is_offered(refund)
    assert [case.subject for case in desk.look("refund_refused")] == [refund.number]
    assert ShowCancellation.objects.get().state == CancellationState.RETURNING
    till.house.control("DELETE", "faults")
    finish(desk, show, rounds=40)
    assert ShowCancellation.objects.get().state == CancellationState.DONE


def test_every_process_knows_how_to_do_the_work():
    """A worker imports no page and no coordinator: the handler is there when the application has started."""
    code = (
        "import django; django.setup(); from payments import outbox; print('show.cancel' in outbox._handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_the_command_looks_and_follows(till, buyer, desk, show, cancelled):
    till.press(till.order(buyer("zhou", cash=100_000)), "wallet")

    def said(*options: str) -> list[dict]:
        out = io.StringIO()
        call_command("cancel_show", show.code, "--json", *options, stdout=out)
        return [json.loads(line) for line in out.getvalue().splitlines()]

    assert said()[0]["orders"] == 1
    show.refresh_from_db()
    assert show.cancelled_at is None, "it decides nothing"
    cancelled()
    assert said()[0]["state"] == "ending"
    finish(desk, show)
    assert said("--follow")[-1]["back"] == 1
    with pytest.raises(CommandError):
        call_command("cancel_show", "nowhere")
