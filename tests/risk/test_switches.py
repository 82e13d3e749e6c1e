"""Kill switches: what is stopped begins nowhere, what is under way ends well, and every throw is written down."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from payments import checkout
from risk import policy, switches
from risk.switch_models import KillSwitch, SwitchEvent
from tests.pages.conftest import channels, visit  # noqa: F401  (fixtures)
from ticketing import orders, phases, seats
from ticketing.models import Order, OrderState, PriceTier

pytestmark = pytest.mark.django_db
WHY = {"actor": "staff", "reason": "the hall flooded"}


@pytest.fixture
def order_for(show: Any, clock: Any) -> Any:
    def place(buyer: User, key: str = "k1", quantity: int = 1) -> Order:
        return orders.place_order(
            buyer=buyer,
            client_key=key,
            tier_id=PriceTier.objects.get(show=show, code="UPPER").pk,
            quantity=quantity,
            now=clock(),
        )

    return place


def token(order: Order, clock: Any) -> str:
    return checkout.offer(kind="order", number=order.number, buyer_id=order.buyer_id, now=clock()).token


def pay(order: Order, channel: str, clock: Any, text: str) -> Any:
    return checkout.pay(
        kind="order",
        number=order.number,
        buyer_id=order.buyer_id,
        channel=channel,
        token=text,
        return_url="",
        now=clock(),
    )


@pytest.mark.parametrize("target", ["small", ""])
def test_a_stopped_sale_takes_no_orders_and_leaves_no_trace(show, buyer, order_for, clock, target):
    lin = buyer("lin", cash=100_000)
    before = order_for(lin, "before")
    switches.stop(kind="sale", target=target, now=clock(), **WHY)
    with pytest.raises(phases.SaleStopped):
        order_for(lin, "after")
    assert Order.objects.count() == 1
    assert phases.taken(before.phase_id, lin.pk) == 1
    assert order_for(lin, "before") == before, "a repetition is answered as ever"
    assert pay(before, "wallet", clock, token(before, clock)).state == "succeeded", (
        "what holds seats can be paid"
    )
    switches.resume(kind="sale", target=target, now=clock(), **WHY)
    assert order_for(lin, "after").state == OrderState.HELD


def test_another_show_goes_on(show, buyer, order_for, clock):
    switches.stop(kind="sale", target="", now=clock(), **WHY)
    switches.resume(kind="sale", target="", now=clock(), **WHY)
    assert not switches.in_force()
    policy._held.policy = policy.Policy(1, stops={("sale", "other"): policy.Stop("sale", "other")})
    policy._held.looked_at = 1e18
    assert order_for(buyer("lin")).state == OrderState.HELD


def test_a_stopped_channel_starts_nothing_and_finishes_what_is_under_way(
    show,
    buyer,
    order_for,
    clock,
    channels,  # noqa: F811
):
    lin = buyer("lin", cash=100_000)
    under_way, fresh = order_for(lin, "a"), order_for(lin, "b")
    started = pay(under_way, "alipay", clock, token(under_way, clock))
    text = token(fresh, clock)
    switches.stop(kind="channel", target="alipay", now=clock(), **WHY)
    offer = checkout.offer(kind="order", number=fresh.number, buyer_id=lin.pk, now=clock())
    assert offer.greyed == {"alipay": "stopped"}
    with pytest.raises(checkout.ChannelNotOffered) as refused:
        pay(fresh, "alipay", clock, text)
    assert refused.value.reason == "stopped"
    assert fresh.number not in {payment.purchase_number for payment in started.__class__.objects.all()}
    channels["alipay"].takes_money()
    from payments import asking

    assert asking.ask(started.number, source="query", now=clock()).outcome == "won"
    assert pay(fresh, "wallet", clock, text).outcome == "won", "the token is not burned by a refusal"


def test_a_stopped_wallet_refuses_a_batch_of_presses(show, buyer, order_for, clock):
    from payments import batch

    lin = buyer("lin", cash=100_000)
    order = order_for(lin)
    press = batch.Press(order.number, lin.pk, token(order, clock))
    switches.stop(kind="channel", target="wallet", now=clock(), **WHY)
    with transaction.atomic():
        assert batch.pay_all("order", [press], now=clock()) == [
            batch.Pressed("refused", reason="channel_stopped")
        ]
    switches.resume(kind="channel", target="wallet", now=clock(), **WHY)
    with transaction.atomic():
        assert batch.pay_all("order", [press], now=clock())[0].state == "paid"


def test_stopped_topups_take_no_money(buyer, clock, channels):  # noqa: F811
    from wallet import topups

    lin = buyer("lin")
    topup = topups.request_topup(buyer_id=lin.pk, client_key="t", amount_minor=5_000, now=clock())
    offer = checkout.offer(kind="topup", number=topup.number, buyer_id=lin.pk, now=clock())
    switches.stop(kind="topups", target="", now=clock(), **WHY)
    with pytest.raises(checkout.ChannelNotOffered) as refused:
        checkout.pay(
            kind="topup",
            number=topup.number,
            buyer_id=lin.pk,
            channel="alipay",
            token=offer.token,
            return_url="",
            now=clock(),
        )
    assert refused.value.reason == "stopped"
    assert not channels["alipay"].opens


def test_withdrawals_have_their_switch(clock):
    assert switches.stopped(switches.WITHDRAWALS) is None
    switches.stop(kind="withdrawals", target="", now=clock(), **WHY)
    assert switches.stopped(switches.WITHDRAWALS)
    assert not switches.stopped(switches.TOPUPS)


class TestTheTrail:
    def test_every_throw_is_written_down_and_stays(self, clock):
        switches.stop(kind="channel", target="wechat", now=clock(), said_en="Back at nine.", **WHY)
        switches.resume(kind="channel", target="wechat", actor="mei", reason="it answers again", now=clock())
        switches.resume(kind="channel", target="wechat", actor="mei", reason="twice", now=clock())
        told = list(SwitchEvent.objects.order_by("pk").values_list("action", "actor", "reason"))
        assert told == [("stop", "staff", "the hall flooded"), ("resume", "mei", "it answers again")]
        for change in ("UPDATE risk_switchevent SET reason = ''", "DELETE FROM risk_switchevent"):
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                connection.cursor().execute(change)

    @pytest.mark.parametrize(
        ("kind", "target"), [("channel", "paypal"), ("channel", ""), ("sale", "nowhere"), ("moon", "")]
    )
    def test_there_is_no_such_thing_to_stop(self, clock, kind, target):
        with pytest.raises(switches.NoSuchTarget):
            switches.stop(kind=kind, target=target, now=clock(), **WHY)
        assert not KillSwitch.objects.exists()

    def test_nobody_stops_a_thing_without_saying_why(self, clock):
        with pytest.raises(switches.NoReason):
            switches.stop(kind="topups", target="", actor="staff", reason="  ", now=clock())
        assert not KillSwitch.objects.exists()


def test_no_query_while_the_policy_is_held(clock, django_assert_num_queries):
    switches.stop(kind="topups", target="", now=clock(), **WHY)
    switches.in_force()
    with django_assert_num_queries(0):
        assert switches.stopped(switches.TOPUPS)
        assert not switches.stopped(switches.SALE, "small")


def test_an_edit_by_sql_is_in_force_within_two_seconds(clock, monkeypatch):
    switches.stop(kind="topups", target="", now=clock(), **WHY)
    assert switches.stopped(switches.TOPUPS)
    connection.cursor().execute("UPDATE risk_killswitch SET is_stopped = false")
    monkeypatch.setattr(policy._held, "looked_at", 0.0)
    assert not switches.stopped(switches.TOPUPS)


class TestPages:
    @pytest.fixture
    def clock(self):
        from tests.conftest import Clock

        return Clock(now=timezone.now())

    def test_the_event_page_says_so_and_sells_nothing(self, visit, clock):  # noqa: F811
        lin = visit("lin", language="en")
        page = lin.page("/events/river-of-stars/")
        from tests.pages.conftest import hidden

        key = hidden(page, "client_key")
        switches.stop(kind="sale", target="small", now=clock(), said_en="Storm. <b>Soon</b>.", **WHY)
        page = lin.page("/events/river-of-stars/")
        assert 'data-sale="stopped"' in page
        assert "Storm. &lt;b&gt;Soon&lt;/b&gt;." in page
        assert "Take these seats" not in page
        data = {"client_key": key, "show": "small", "tier": "UPPER", "quantity": 1}
        answer = lin.client.post("/events/river-of-stars/", data)
        assert (answer.status_code, Order.objects.count()) == (503, 0)
        assert 'data-refusal="sale_stopped"' in answer.content.decode()
        assert "Storm" not in lin.page("/wallet/"), "a show's own stop is told where it is sold"

    def test_everybody_reads_that_a_channel_is_stopped(self, visit, clock):  # noqa: F811
        switches.stop(kind="channel", target="alipay", now=clock(), **WHY)
        assert "Alipay takes no new payments for now" in visit(language="en").page("/")
        assert "支付宝" in visit().page("/")

    def test_the_shared_page_says_so_too(self, show, clock, tmp_path):
        from ticketing import prerender

        switches.stop(kind="sale", target="small", now=clock(), **WHY)
        prerender.render_all(tmp_path, now=clock())
        page = (tmp_path / "en" / "events" / "river-of-stars" / "index.html").read_text()
        assert "Stopped for now" in page
        assert "Choose seats" not in page


class TestTheSwitchboard:
    BOARD = "/admin/risk/killswitch/"

    @pytest.fixture
    def chief(self, db):
        client = Client(headers={"accept-language": "en"})
        client.force_login(
            User.objects.create_superuser("chief", "a long enough password"),
            backend="accounts.signin.PhoneOrEmailBackend",
        )
        return client

    @pytest.fixture
    def looker(self, db):
        from django.contrib.auth.models import Permission

        user = User.objects.create_user("looker", "a long enough password")
        user.is_staff = True
        user.save()
        user.user_permissions.add(Permission.objects.get(codename="view_killswitch"))
        client = Client(headers={"accept-language": "en"})
        client.force_login(user, backend="accounts.signin.PhoneOrEmailBackend")
        return client

    def test_stop_and_resume_with_a_reason(self, chief, show):
        assert "River of Stars" in chief.get(self.BOARD).content.decode()
        page = chief.get(f"{self.BOARD}throw/stop/sale/small/").content.decode()
        assert "Nobody can place an order" in page
        assert not switches.in_force(), "looking stops nothing"
        answer = chief.post(f"{self.BOARD}throw/stop/sale/small/", {"reason": "flood", "meant": "on"})
        assert answer.status_code == 302
        assert switches.stopped("sale", "small")
        board = chief.get(self.BOARD).content.decode()
        assert "flood" in board
        assert "chief" in board
        chief.post(f"{self.BOARD}throw/resume/sale/small/", {"reason": "dry", "meant": "on"})
        assert not switches.stopped("sale", "small")
        assert list(SwitchEvent.objects.order_by("pk").values_list("reason", flat=True)) == ["flood", "dry"]

    @pytest.mark.parametrize(
        "data", [{}, {"reason": "flood"}, {"meant": "on"}, {"reason": " ", "meant": "on"}]
    )
    def test_without_reason_or_confirmation_nothing_stops(self, chief, show, data):
        assert chief.post(f"{self.BOARD}throw/stop/sale/small/", data).status_code == 200
        assert not KillSwitch.objects.exists()

    @pytest.mark.parametrize(
        "where", ["stop/sale/nowhere/", "stop/moon/", "break/topups/", "stop/channel/paypal/"]
    )
    def test_there_is_no_such_switch(self, chief, show, where):
        assert chief.post(f"{self.BOARD}throw/{where}", {"reason": "x", "meant": "on"}).status_code == 404

    def test_who_may_only_look_throws_nothing(self, looker, show):
        board = looker.get(self.BOARD).content.decode()
        assert "Stop…" not in board
        answer = looker.post(f"{self.BOARD}throw/stop/topups/", {"reason": "x", "meant": "on"})
        assert answer.status_code == 403
        assert not KillSwitch.objects.exists()


def test_seats_of_a_stopped_show_stay_free(show, buyer, order_for, clock):
    tier = PriceTier.objects.get(show=show, code="UPPER")
    free = len(seats.best_available(tier.pk, 6))
    switches.stop(kind="sale", target="small", now=clock(), **WHY)
    with pytest.raises(phases.SaleStopped):
        order_for(buyer("lin"), quantity=2)
    assert len(seats.best_available(tier.pk, 6)) == free
