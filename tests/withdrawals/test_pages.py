"""What buyers and staff see of withdrawals, and the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts.models import User
from payments import money, outbox
from payments.channels.port import Declined
from payments.withdrawal_models import Withdrawal
from tests.api.conftest import Program, program  # noqa: F401
from tests.conftest import Clock
from ticketing.models import Organiser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("paymaster")]
WANTED = {"amount": 5_000, "to": {"kind": "alipay", "account": "13812345678", "name": "林薇"}}


@pytest.fixture
def clock() -> Clock:
    return Clock(now=datetime.now(UTC))


@pytest.fixture
def lin(buyer):
    return buyer("lin", cash=10_000)


@pytest.fixture
def reader(client, lin):
    client.force_login(lin)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


class TestTheBuyersPages:
    FORM = {"amount": "50", "kind": "alipay", "account": "138 1234 5678", "name": "林薇", "client_key": "k1"}

    def test_the_wallet_leads_to_an_empty_list(self, reader):
        assert "/wallet/withdraw/" in reader.get("/wallet/").content.decode()
        assert "You have not withdrawn anything yet." in reader.get("/wallet/withdraw/").content.decode()

    def test_a_second_press_finds_the_first_withdrawal(self, reader):
        first, second = (reader.post("/wallet/withdraw/", self.FORM) for _ in range(2))
        assert first.status_code == second.status_code == 303
        assert first["Location"] == second["Location"]
        shown = reader.get(first["Location"]).content.decode()
        assert "138****5678" in shown
        assert "13812345678" not in shown
        assert Withdrawal.objects.count() == 1

    def test_a_refused_one_says_why_and_that_the_money_is_back(self, reader, paymaster, clock):
        paymaster.send_answers = [Declined("PAYEE_NOT_EXIST", "收款账号不存在")]
        where = reader.post("/wallet/withdraw/", self.FORM)["Location"]
        clock.advance(minutes=1)
        outbox.drain(clock=clock, lane=outbox.COMPENSATE)
        shown = reader.get(where).content.decode()
        assert "The money is in your wallet again. 收款账号不存在" in shown

    @pytest.mark.parametrize(
        ("typed", "code"),
        [({"amount": "500"}, "insufficient"), ({"amount": "x"}, "amount"), ({"account": "x"}, "bad_account")],
    )
    def test_what_is_refused_keeps_what_was_typed(self, reader, typed, code):
        answer = reader.post("/wallet/withdraw/", self.FORM | typed)
        assert answer.status_code == 409
        assert f'data-refusal="{code}"' in answer.content.decode()
        assert f'value="{ {**self.FORM, **typed}["amount"] }"' in answer.content.decode()

    def test_it_is_nobody_elses(self, reader, buyer):
        where = reader.post("/wallet/withdraw/", self.FORM)["Location"]
        other = Client()
        other.force_login(buyer("mei"))
        assert other.get(where).status_code == 404


class TestTheApi:
    def test_it_is_asked_for_and_followed(self, program):  # noqa: F811
        lin: Program = program("lin", cash=10_000)
        made = lin.post("/wallet/withdrawals", WANTED, key="w1")
        assert made.status_code == 201
        body = made.json()
        assert (body["state"], body["to"]) == ("ready", {"kind": "alipay", "account": "138****5678"})
        again = lin.post("/wallet/withdrawals", WANTED, key="w1")
        assert again.json() == body
        assert lin.get(made["Location"]).json() == body
        assert [one["number"] for one in lin.get("/wallet/withdrawals").json()["items"]] == [body["number"]]

    def test_its_refusals_are_problems(self, program):  # noqa: F811
        lin: Program = program("lin", cash=100)
        refused = lin.post("/wallet/withdrawals", WANTED)
        assert refused.status_code == 409
        assert (refused.json()["code"], refused.json()["reason"]) == ("not_withdrawable", "insufficient")
        assert lin.post("/wallet/withdrawals", {"amount": 5, "to": {"kind": "cheque"}}).status_code == 400

    def test_nobody_reads_anothers(self, program):  # noqa: F811
        number = program("lin", cash=10_000).post("/wallet/withdrawals", WANTED).json()["number"]
        assert program("mei").get(f"/wallet/withdrawals/{number}").status_code == 404


class TestTheStaffsPages:
    @pytest.fixture
    def organiser(self, show, clock) -> Organiser:
        found = show.event.organiser
        settled = money.ShowSettled("show:S1:1", "S1", found.code, "CNY", 5_000_000, 0)
        money.book_show_settlements([settled], at=clock())
        return found

    def sit(self, name: str) -> Client:
        client = Client(headers={"accept-language": "en"})
        user = User.objects.filter(handle=name).first() or User.objects.create_superuser(
            name, "a long enough one"
        )
        client.force_login(user)
        return client

    def ask(self, organiser: Organiser, amount: str) -> str:
        form = {
            "amount": amount,
            "kind": "bank",
            "account": "6222020000001234",
            "name": "演出公司",
            "key": "k",
        }
        made = self.sit("mei").post(f"/admin/ticketing/organiser/{organiser.pk}/withdraw/", form)
        assert made.status_code == 302, made.content.decode()
        return str(made["Location"])

    def test_two_people_pay_an_organiser(self, organiser):
        where = self.ask(organiser, "20000")
        assert "another person has to approve it" in self.sit("mei").get(where).content.decode()
        decide = where.replace("/change/", "/decide/")
        self.sit("mei").post(decide, {"what": "approve"})
        assert Withdrawal.objects.get().state == "waiting"
        self.sit("bo").post(decide, {"what": "approve"})
        one = Withdrawal.objects.get()
        assert (one.state, one.requested_by, one.approved_by) == ("ready", "mei", "bo")

    def test_more_than_he_has_is_refused_on_the_page(self, organiser):
        client = self.sit("mei")
        form = {
            "amount": "60000",
            "kind": "bank",
            "account": "6222020000001234",
            "name": "演出公司",
            "key": "k",
        }
        answer = client.post(f"/admin/ticketing/organiser/{organiser.pk}/withdraw/", form)
        assert "There is less cash than that" in answer.content.decode()

    def test_the_list_and_the_organisers_page_are_there(self, organiser):
        self.ask(organiser, "100")
        client = self.sit("bo")
        assert "**** 1234" in client.get("/admin/payments/withdrawal/").content.decode()
        shown = client.get(f"/admin/ticketing/organiser/{organiser.pk}/change/").content.decode()
        assert "50,000.00, owes CN¥0.00" in shown


def test_who_owes_may_not_withdraw(show, clock):
    from payments.withdrawals import NotWithdrawable, Payee
    from ticketing import merchant_withdrawals
    from ticketing.settlement_models import SettlementMove, ShowSettlement

    code = show.event.organiser.code
    money.book_show_settlements([money.ShowSettled("show:S1:1", "S1", code, "CNY", 3_000, 0)], at=clock())
    record = ShowSettlement.objects.create(
        number="S1",
        show=show,
        merchant=code,
        currency="CNY",
        paid_minor=10_000,
        opened_at=clock(),
        looked_at=clock(),
    )
    facts = {"nth": 1, "gross_minor": 10_000, "fee_minor": 0, "net_minor": 10_000, "paid_minor": 10_000}
    SettlementMove.objects.create(settlement=record, refunded_minor=0, at=clock(), **facts)
    ShowSettlement.objects.update(refunded_minor=4_000, standing="owing")
    with pytest.raises(NotWithdrawable, match="owing: 1000"):
        merchant_withdrawals.request(
            merchant=code,
            payee=Payee("bank", "6222020000001234", "演出公司"),
            amount_minor=5_000,
            client_key="k",
            actor="mei",
            now=clock(),
        )


def test_json_is_what_a_message_of_alipay_carries():
    from payments.channels.alipay_payouts import CHANGED, to_notice
    from payments.channels.port import NotifyRefused

    fields = {"msg_method": CHANGED, "notify_id": "n1", "biz_content": json.dumps({"out_biz_no": "D1"})}
    notice = to_notice(fields, "RSA2")
    assert (notice.event_id, notice.transfer_number, notice.payment_number) == ("n1", "D1", "")
    for spoilt in ("[]", "{}", "x", '{"out_biz_no": 5}'):
        with pytest.raises(NotifyRefused, match="malformed"):
            to_notice({**fields, "biz_content": spoilt}, "RSA2")
