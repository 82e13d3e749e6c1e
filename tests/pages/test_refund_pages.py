"""Giving tickets back without JavaScript; the offer of the wallet; staff refunds in the admin."""

import re

import pytest
from django.test import Client

from accounts.models import User
from payments.models import Payment, Refund, RefundState
from tests.pages.conftest import hidden
from ticketing.models import Order, RefundPolicy, RefundRequest, Ticket, TicketState

pytestmark = pytest.mark.django_db
PRICE = 38_000


@pytest.fixture
def lin(visit, no_channels):
    return visit("lin", language="en", cash=200_000)


@pytest.fixture
def paid(lin):
    url = lin.order("UPPER", 2)
    lin.pay(url, "wallet")
    return url


def test_choose_see_confirm(lin, paid):
    page = lin.page(paid)
    assert f"{paid}give-back/" in page
    page = lin.page(f"{paid}give-back/")
    tickets = re.findall(r'name="ticket" value="(\w+)"', page)
    assert len(tickets) == 2
    seen = lin.page(f"{paid}give-back/?ticket={tickets[0]}")
    assert not RefundRequest.objects.exists(), "looking gives nothing back"
    data = {"ticket": tickets[0], "back": hidden(seen, "back"), "key": hidden(seen, "key")}
    for _ in range(3):
        answer = lin.client.post(f"{paid}give-back/", data)
        assert (answer.status_code, answer.url) == (303, paid)
    assert RefundRequest.objects.get().amount_minor == PRICE
    assert Ticket.objects.get(number=tickets[0]).state == TicketState.VOID
    assert "is on its way" in lin.page(paid)


@pytest.mark.parametrize(
    "change", [{"back": "1"}, {"back": "x"}, {"back": ""}, {"ticket": "TNOBODYS"}, {"ticket": ""}]
)
def test_bad_input_changes_nothing(lin, paid, change):
    ticket = Ticket.objects.first().number
    seen = lin.page(f"{paid}give-back/?ticket={ticket}")
    data = {"ticket": ticket, "back": hidden(seen, "back"), "key": hidden(seen, "key")} | change
    answer = lin.client.post(f"{paid}give-back/", data)
    assert answer.status_code == 409
    assert "data-refusal" in answer.content.decode()
    assert not RefundRequest.objects.exists()


def test_another_buyers_order_is_not_there(lin, paid, visit):
    mei = visit("mei")
    assert mei.get(f"{paid}give-back/").status_code == 404
    assert mei.client.post(f"{paid}give-back/", {}).status_code == 404
    assert mei.client.post(f"{paid}refunds/R00000000/to-wallet/").status_code == 404


def test_the_rule_is_published_before_the_sale_and_on_the_order(lin, paid, show):
    for page in (lin.page("/events/river-of-stars/"), lin.page(paid)):
        assert "100% of the price goes back" in page
        assert "50% of the price goes back" in page


def test_without_a_rule_the_page_says_so(lin, paid):
    from django.core.cache import cache

    RefundPolicy.objects.all().delete()
    cache.clear()
    assert "give-back/" not in lin.page(paid)
    assert "takes no tickets of this show back" in lin.page(f"{paid}give-back/")


def test_the_wallet_is_offered_and_taken_once(lin, paid):
    from django.utils import timezone

    ticket = Ticket.objects.first().number
    seen = lin.page(f"{paid}give-back/?ticket={ticket}")
    lin.client.post(f"{paid}give-back/", {"ticket": ticket, "back": PRICE, "key": hidden(seen, "key")})
    assert "data-offer" not in lin.page(paid)
    Payment.objects.update(channel="alipay")
    Refund.objects.update(state=RefundState.REFUSED, offered_at=timezone.now())
    page = lin.page(paid)
    address = re.search(r'action="(/orders/\w+/refunds/\w+/to-wallet/)"', page)[1]
    assert lin.client.get(address).status_code == 405
    for _ in range(2):
        assert lin.client.post(address).status_code == 303
    assert Refund.objects.get().state == RefundState.REDIRECTED
    assert "data-offer" not in lin.page(paid)


class TestStaff:
    @pytest.fixture
    def chief(self, db):
        client = Client(headers={"accept-language": "en"})
        user = User.objects.create_superuser("chief", "a long enough password")
        client.force_login(user, backend="accounts.signin.PhoneOrEmailBackend")
        return client

    def address(self):
        return f"/admin/ticketing/refundrequest/of/{Order.objects.get().number}/"

    def test_preview_then_confirm(self, lin, paid, chief):
        ticket = Ticket.objects.first().number
        assert (
            self.address()
            in chief.get(f"/admin/ticketing/order/{Order.objects.get().pk}/change/").content.decode()
        )
        page = chief.get(self.address()).content.decode()
        data = {
            "tickets": [ticket],
            "amount": "380.00",
            "seats_after": "free",
            "reason": "ill",
            "key": hidden(page, "key"),
        }
        page = chief.post(self.address(), data | {"preview": "1"}).content.decode()
        assert "becomes void" in page
        assert not RefundRequest.objects.exists()
        confirm = data | {"confirm": "1", "fingerprint": hidden(page, "fingerprint")}
        for _ in range(2):
            assert chief.post(self.address(), confirm).status_code == 302
        made = RefundRequest.objects.get()
        assert (made.amount_minor, made.actor, made.reason) == (PRICE, "chief", "ill")
        assert chief.get(f"/admin/ticketing/refundrequest/{made.pk}/change/").status_code == 200
        assert chief.get("/admin/ticketing/refundpolicy/").status_code == 200

    @pytest.mark.parametrize(
        "change",
        [
            {"fingerprint": "stale"},
            {"fingerprint": ""},
            {"amount": "0"},
            {"amount": "760.01"},
            {"amount": "x"},
            {"reason": ""},
            {"tickets": ["TNOBODYS"]},
        ],
    )
    def test_what_is_refused_changes_nothing(self, lin, paid, chief, change):
        page = chief.get(self.address()).content.decode()
        data = {
            "tickets": [],
            "amount": "10.00",
            "seats_after": "free",
            "reason": "r",
            "key": hidden(page, "key"),
        }
        page = chief.post(self.address(), data | {"preview": "1"}).content.decode()
        data |= {"fingerprint": hidden(page, "fingerprint"), "confirm": "1"}
        answer = chief.post(self.address(), data | change)
        assert answer.status_code == 200
        assert not RefundRequest.objects.exists()

    def test_above_the_limit_two_are_needed_also_for_the_chief(self, lin, paid, chief, settings):
        settings.REFUND_ALONE_MAX_MINOR = 999
        page = chief.get(self.address()).content.decode()
        data = {"amount": "10.00", "seats_after": "free", "reason": "r", "key": hidden(page, "key")}
        page = chief.post(self.address(), data | {"preview": "1"}).content.decode()
        assert "Two people" in page
        assert 'name="confirm"' not in page
        chief.post(self.address(), data | {"confirm": "1", "fingerprint": hidden(page, "fingerprint")})
        assert not RefundRequest.objects.exists()

    def test_who_may_not_refund_does_not(self, lin, paid):
        user = User.objects.create_user("looker", "a long enough password")
        user.is_staff = True
        user.save()
        client = Client()
        client.force_login(user, backend="accounts.signin.PhoneOrEmailBackend")
        assert client.post(self.address(), {"confirm": "1"}).status_code == 403
        assert not RefundRequest.objects.exists()

    def test_a_rule_is_made_with_a_ladder_that_goes_down_and_then_frozen(self, show, chief):
        RefundPolicy.objects.all().delete()
        form = {
            "event": show.event_id,
            "seats_after": "free",
            "steps-TOTAL_FORMS": 2,
            "steps-INITIAL_FORMS": 0,
            "steps-0-hours_before": 48,
            "steps-0-percent_back": 50,
            "steps-1-hours_before": 24,
            "steps-1-percent_back": 80,
        }
        answer = chief.post("/admin/ticketing/refundpolicy/add/", form)
        assert answer.status_code == 200
        assert not RefundPolicy.objects.exists()
        assert (
            chief.post("/admin/ticketing/refundpolicy/add/", form | {"steps-1-percent_back": 20}).status_code
            == 302
        )
        policy = RefundPolicy.objects.get()
        changed = form | {"steps-0-percent_back": 99}
        assert chief.post(f"/admin/ticketing/refundpolicy/{policy.pk}/change/", changed).status_code == 403
        assert (
            chief.post(f"/admin/ticketing/refundpolicy/{policy.pk}/delete/", {"post": "yes"}).status_code
            == 403
        )
        assert list(policy.steps.values_list("percent_back", flat=True)) == [50, 20]
