"""The order page in every stage of paying, walked as a browser without JavaScript walks it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from payments import outbox, refunds, settle
from payments.channels.port import AlreadyPaid, Declined, Started, Unknown
from payments.models import OutboxMessage, Payment, PaymentState, Refund, RefundState
from tests.pages.conftest import hidden, stage
from ticketing import expiry
from ticketing.models import Order, OrderState, Seat, Ticket

JSON = {"accept": "application/json"}


def drain():
    """As the workers would, with the outbox's delays over."""
    OutboxMessage.objects.filter(done_at=None).update(due_at=datetime.now(UTC) - timedelta(seconds=1))
    for lane in (outbox.NOTIFY, outbox.COMPENSATE):
        outbox.drain(clock=lambda: datetime.now(UTC), lane=lane)


def expire(order_page):
    number = order_page.split("/")[2]
    now = datetime.now(UTC)
    Order.objects.filter(number=number).update(hold_until=now - timedelta(seconds=1))
    expiry.expire_due(now=now)
    return Order.objects.get(number=number)


# -- the wallet -------------------------------------------------------------------------------------------------------


def test_whole_way_with_the_wallet_without_javascript(visit, no_channels):
    lin = visit("lin", cash=100_000)
    url = lin.order("UPPER", 2)
    page = lin.page(url)
    assert stage(page) == "payable"
    assert 'role="timer"' in page
    assert "<noscript><meta" in page
    answer = lin.pay(url, "wallet")
    assert (answer.status_code, answer.url) == (303, url)
    page = lin.page(url)
    assert stage(page) == "paid"
    assert "http-equiv" not in page
    number = re.search(r'href="/tickets/(\w+)/"', page)[1]
    assert "<svg" in lin.page(f"/tickets/{number}/")
    assert "¥240.00" in lin.page("/wallet/")


def test_any_number_of_presses_is_one_payment(visit, no_channels):
    lin = visit("lin", cash=100_000)
    url = lin.order("UPPER", 1)
    token = hidden(lin.page(url), "token")
    answers = [lin.pay(url, "wallet", token) for _ in range(4)]
    assert {(answer.status_code, answer.url) for answer in answers} == {(303, url)}
    assert Payment.objects.get().state == PaymentState.SUCCEEDED
    assert "¥620.00" in lin.page("/wallet/")
    assert "out of date" not in lin.page(url)


def test_too_little_in_the_wallet_is_said_and_leads_to_the_top_up(visit, channels):
    lin = visit("lin", cash=10_000)
    url = lin.order("UPPER", 1)
    page = lin.page(url)
    assert 'href="/wallet/top-up/?amount=280&amp;next=/orders/' in page
    assert re.search(r'value="wallet" disabled', page)
    lin.pay(url, "wallet")
    page = lin.page(url)
    assert stage(page) == "payable"
    assert 'data-failed="insufficient_funds"' in page
    assert "钱包余额不足" in page
    lin.pay(url, "alipay")
    assert stage(lin.page(url)) == "waiting"


def test_old_token_and_missing_channel_are_explained(visit, channels):
    lin = visit("lin", cash=100_000)
    url = lin.order()
    lin.pay(url, "wallet", "nonsense")
    assert "页面已过期" in lin.page(url)
    lin.pay(url, "stripe")
    assert "请选择支付方式" in lin.page(url)
    assert Payment.objects.count() == 0


# -- a channel --------------------------------------------------------------------------------------------------------


def test_channel_waits_confirms_and_is_paid(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    page = lin.page(url)
    assert stage(page) == "waiting"
    assert f'href="https://pay.example/alipay/{Payment.objects.get().number}?a=1&amp;b=2"' in page
    assert '<meta http-equiv="refresh" content="5">' in page
    assert channels["alipay"].opens[0].return_url.endswith(f"{url}?back=1")
    page = lin.page(f"{url}?back=1")
    assert stage(page) == "confirming"
    assert "请不要重复付款" in page
    channels["alipay"].takes_money()
    answer = lin.client.post(f"{url}check/")
    assert answer.status_code == 303
    assert stage(lin.page(url)) == "paid"
    assert Ticket.objects.count() == 1


def test_reload_and_second_press_resume_the_payment_in_flight(visit, channels):
    lin = visit("lin")
    url = lin.order()
    token = hidden(lin.page(url), "token")
    for _ in range(4):
        lin.pay(url, "alipay", token)
        assert stage(lin.page(url)) == "waiting"
    assert Payment.objects.count() == 1
    assert len(channels["alipay"].opens) == 1


def test_asking_is_bounded(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    for _ in range(5):
        lin.client.post(f"{url}check/")
    assert channels["alipay"].asked == 1


def test_code_to_scan_is_drawn_and_a_strange_address_is_no_link(visit, channels):
    lin = visit("lin")
    channels["wechat"].opened = Started("qr", "weixin://wxpay/bizpayurl?pr=abc")
    url = lin.order()
    lin.pay(url, "wechat")
    page = lin.page(url)
    assert '<div class="qr"' in page
    assert 'href="weixin://wxpay/bizpayurl?pr=abc"' in page
    Payment.objects.update(cashier_url="javascript:alert(1)")
    assert "javascript:" not in lin.page(url)


def test_unknown_answer_offers_no_second_pay(visit, channels):
    lin = visit("lin")
    channels["alipay"].opened = Unknown("timeout")
    url = lin.order()
    lin.pay(url, "alipay")
    page = lin.page(url)
    assert stage(page) == "checking"
    assert 'value="alipay"' not in page
    assert "请不要重复付款" in page


def test_slow_opening_may_be_opened_again_as_the_same_payment(visit, channels):
    lin = visit("lin")
    channels["alipay"].opened = Unknown("timeout")
    url = lin.order()
    lin.pay(url, "alipay")
    long_ago = datetime.now(UTC) - timedelta(seconds=30)
    Payment.objects.update(created_at=long_ago, opening_at=long_ago)
    page = lin.page(url)
    assert 'name="channel" value="alipay"' in page
    channels["alipay"].opened = None
    lin.pay(url, "alipay", hidden(page, "token"))
    assert stage(lin.page(url)) == "waiting"
    assert Payment.objects.count() == 1


def test_payment_being_opened_refreshes_itself_and_explains_after_eight_seconds(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    # A process that died between recording the payment and the channel's answer leaves exactly this.
    Payment.objects.update(state=PaymentState.CREATED, cashier_url="", cashier_kind="")
    page = lin.page(url)
    assert stage(page) == "opening"
    assert "data-press" not in page
    assert "比平时慢" not in page
    Payment.objects.update(created_at=datetime.now(UTC) - timedelta(seconds=9))
    assert "比平时慢" in lin.page(url)


def test_refused_payment_brings_the_choice_back(visit, channels):
    lin = visit("lin")
    channels["alipay"].opened = Declined("ACQ.SELLER_BALANCE")
    url = lin.order()
    lin.pay(url, "alipay")
    page = lin.page(url)
    assert stage(page) == "payable"
    assert "支付宝拒绝了这笔支付，没有扣款" in page
    assert "ACQ." not in page


def test_choosing_another_channel_closes_the_first(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    page = lin.page(url)
    assert "换一种方式付款" in page
    lin.pay(url, "wechat", hidden(page, "token"))
    assert channels["alipay"].closes == 1
    page = lin.page(url)
    assert stage(page) == "waiting"
    assert [payment.state for payment in Payment.objects.order_by("pk")] == ["closed", "pending"]
    assert "您换了支付方式" in page


def test_second_tab_with_an_old_token_is_sent_to_the_payment_under_way(visit, channels):
    lin = visit("lin")
    url = lin.order()
    token = hidden(lin.page(url), "token")
    lin.pay(url, "alipay", token)
    lin.pay(url, "wechat", token)
    page = lin.page(url)
    assert "已有一笔支付宝支付正在进行" in page
    assert Payment.objects.count() == 1


def test_paid_twice_keeps_the_ticket_and_sends_one_payment_back(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    channels["alipay"].state = Unknown("timeout")  # the close goes unanswered
    lin.pay(url, "wechat")
    page = lin.page(url)
    assert "data-unwanted" in page
    channels["wechat"].takes_money()
    lin.client.post(f"{url}check/")
    channels["alipay"].takes_money()
    drain()
    drain()
    page = lin.page(url)
    assert stage(page) == "paid"
    assert 'data-refund="succeeded" data-why="paid_twice"' in page
    assert "检测到重复付款" in page
    assert Ticket.objects.filter(state="valid").count() == 1


# -- ends -------------------------------------------------------------------------------------------------------------


def test_cancelled_order_frees_its_seats_and_returns_late_money(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    channels["alipay"].closed = AlreadyPaid()
    answer = lin.client.post(f"{url}cancel/")
    assert answer.status_code == 303
    page = lin.page(url)
    assert stage(page) == "cancelled"
    assert Seat.objects.filter(state="H").count() == 0
    channels["alipay"].takes_money()
    drain()
    assert 'data-refund="requested" data-why="cancelled"' in lin.page(url)
    drain()
    assert 'data-refund="succeeded" data-why="cancelled"' in lin.page(url)


def test_paid_order_cannot_be_cancelled(visit, no_channels):
    lin = visit("lin", cash=100_000)
    url = lin.order()
    lin.pay(url, "wallet")
    lin.client.post(f"{url}cancel/")
    page = lin.page(url)
    assert stage(page) == "paid"
    assert "无法取消" in page


def test_hold_that_is_over_cannot_be_paid(visit, no_channels):
    lin = visit("lin", cash=100_000)
    url = lin.order()
    token = hidden(lin.page(url), "token")
    Order.objects.update(hold_until=datetime.now(UTC) - timedelta(seconds=1))
    page = lin.page(url)
    assert stage(page) == "expired"
    lin.pay(url, "wallet", token)
    assert "没有扣款" in lin.page(url)
    assert Payment.objects.filter(state=PaymentState.SUCCEEDED).count() == 0


@pytest.mark.parametrize("accepts", [False, True])
def test_late_money_gets_the_seats_if_they_are_free(visit, channels, accepts):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    expire(url)
    assert stage(lin.page(url)) == "closing"
    channels["alipay"].takes_money()
    drain()
    page = lin.page(url)
    assert stage(page) == "paid"
    assert "您的座位还在" in page


def test_late_money_without_seats_goes_back(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    order = expire(url)
    Seat.objects.filter(tier=order.tier).update(state="B")
    channels["alipay"].takes_money()
    drain()
    drain()
    page = lin.page(url)
    assert stage(page) == "expired"
    assert 'data-refund="succeeded" data-why="too_late"' in page
    assert "退还给您" in page
    assert Refund.objects.get().state == RefundState.SUCCEEDED


def test_late_money_takes_equal_seats_if_allowed(visit, channels):
    lin = visit("lin")
    url = lin.order(accept_equal_seats="on")
    lin.pay(url, "alipay")
    order = expire(url)
    given = list(order.order_seats.values_list("seat_id", flat=True))
    Seat.objects.filter(pk__in=given).update(state="B")
    channels["alipay"].takes_money()
    drain()
    page = lin.page(url)
    assert stage(page) == "paid"
    assert "同价位的座位" in page


def test_refunded_order_has_void_tickets(visit, no_channels):
    lin = visit("lin", cash=100_000)
    url = lin.order()
    lin.pay(url, "wallet")
    with transaction.atomic():
        payment = settle.lock_payment(Payment.objects.get().number)
        refunds.request(
            payment,
            amount_minor=payment.amount_minor,
            reason="requested_by_buyer",
            key="k",
            now=datetime.now(UTC),
        )
    assert stage(lin.page(url)) == "paid"
    drain()
    assert stage(lin.page(url)) == "refunded"
    ticket = Ticket.objects.get()
    page = lin.page(f"/tickets/{ticket.number}/")
    assert "已失效" in page
    assert 'class="qr"' not in page
    assert "已失效" in lin.page("/tickets/")
    assert "¥1,000.00" in lin.page("/wallet/")


# -- polling ----------------------------------------------------------------------------------------------------------


def test_status_is_tiny_and_304_without_news(visit, channels):
    lin = visit("lin")
    url = lin.order()
    first = lin.get(f"{url}status.json")
    assert set(first.json()) == {"version", "stage", "pace"}
    assert first.json()["pace"] == "slow"
    assert f'data-version="{first.json()["version"]}"' in lin.page(url)
    assert lin.get(f"{url}status.json", headers={"if-none-match": first.headers["ETag"]}).status_code == 304
    lin.pay(url, "alipay")
    second = lin.get(f"{url}status.json", headers={"if-none-match": first.headers["ETag"]})
    assert (second.status_code, second.json()["stage"], second.json()["pace"]) == (200, "waiting", "fast")
    assert len(second.content) < 200


def test_coming_back_is_no_news(visit, channels):
    lin = visit("lin")
    url = lin.order()
    lin.pay(url, "alipay")
    version = lin.get(f"{url}status.json").json()["version"]
    assert f'data-version="{version}"' in lin.page(f"{url}?back=1")


def test_module_gets_json_and_the_address_to_go_to(visit, channels):
    lin = visit("lin")
    url = lin.order()
    token = hidden(lin.page(url), "token")
    answer = lin.client.post(f"{url}pay/", {"token": token, "channel": "alipay"}, headers=JSON)
    assert answer.json()["go"] == Payment.objects.get().cashier_url
    answer = lin.client.post(f"{url}check/", headers=JSON)
    assert answer.json() == {"page": url}


# -- whose -------------------------------------------------------------------------------------------------------------


def test_another_buyers_order_does_not_exist(visit, no_channels):
    lin, mei = visit("lin", cash=100_000), visit("mei", cash=100_000)
    url = lin.order()
    token = hidden(lin.page(url), "token")
    assert mei.get(url).status_code == 404
    assert mei.get(f"{url}status.json").status_code == 404
    assert mei.pay(url, "wallet", token).status_code == 404
    assert mei.client.post(f"{url}check/").status_code == 404
    assert mei.client.post(f"{url}cancel/").status_code == 404
    assert Order.objects.get().state == OrderState.HELD
    assert url not in mei.page("/orders/")
    lin.pay(url, "wallet")
    ticket = Ticket.objects.get().number
    assert mei.get(f"/tickets/{ticket}/").status_code == 404
    assert ticket not in mei.page("/tickets/")


@pytest.mark.parametrize("number", ["K0000000000000000000", "nope", "%00", "K" * 40])
def test_unknown_orders_are_not_found(visit, number):
    assert visit("lin").get(f"/orders/{number}/").status_code == 404


def test_changes_are_posts(visit, no_channels):
    lin = visit("lin")
    url = lin.order()
    for step in ("pay", "check", "cancel"):
        assert lin.get(f"{url}{step}/").status_code == 405


def test_page_asks_the_database_a_fixed_number_of_times(visit, channels, django_assert_num_queries):
    lin = visit("lin")
    url = lin.order("UPPER", 4)
    lin.page(url)
    # session, user, order; quote, tries twice; wallet; seats; timeline: payments, order's events, tickets.
    with django_assert_num_queries(11):
        lin.get(url)
    lin.pay(url, "alipay")
    with django_assert_num_queries(14):
        lin.get(url)
    with django_assert_num_queries(6):
        lin.get(f"{url}status.json")


def test_order_list_pages_and_empty_state(visit):
    lin = visit("lin")
    assert "还没有订单" in lin.page("/orders/")
    url = lin.order()
    assert url in lin.page("/orders/")
    assert url in lin.page("/orders/?page=99")
    assert url in lin.page("/orders/?page=x")
