"""The wallet's pages: balances, entries, and the top-up through a channel."""

import pytest

from tests.pages.conftest import hidden, stage, text_of
from wallet import statement
from wallet.models import TopUp


def top_up(visitor, amount, **more):
    page = visitor.page("/wallet/top-up/")
    return visitor.client.post(
        "/wallet/top-up/", {"client_key": hidden(page, "client_key"), "amount": amount} | more
    )


def test_empty_wallet(visit):
    lin = visit("lin")
    page = lin.page("/wallet/")
    assert "¥0.00" in page
    assert "还没有收支记录" in page


def test_entries_carry_the_balance_after_each_and_lead_to_their_order(visit, no_channels):
    lin = visit("lin", cash=100_000, bonus=5_000)
    url = lin.order()
    lin.pay(url, "wallet")
    page = lin.page("/wallet/")
    assert f'href="{url}"' in page
    lines = sorted(statement.entries(lin.user.pk), key=lambda line: (line.account, line.amount_minor))
    assert [(line.account, line.amount_minor, line.balance_minor) for line in lines] == [
        ("bonus", -5_000, 0),
        ("bonus", 5_000, 5_000),
        ("cash", -33_000, 67_000),
        ("cash", 100_000, 100_000),
    ]


def test_older_entries_keep_their_running_balance(visit):
    lin = visit("lin")
    for _ in range(3):
        visit("lin", cash=1_000)
    everything = statement.entries(lin.user.pk)
    assert [line.balance_minor for line in everything] == [3_000, 2_000, 1_000]
    assert statement.entries(lin.user.pk, before=everything[0].id, limit=1) == [everything[1]]
    assert "没有更早的记录" in lin.page("/wallet/?before=1")
    assert lin.get("/wallet/?before=x").status_code == 200


def test_top_up_through_a_channel_and_back_to_the_order(visit, channels):
    lin = visit("lin")
    order = lin.order()
    answer = top_up(lin, "380", next=order)
    assert answer.status_code == 303
    url = answer.url
    page = lin.page(url)
    assert stage(page) == "payable"
    assert 'value="wallet"' not in page
    lin.pay(url, "wechat")
    assert stage(lin.page(url)) == "waiting"
    channels["wechat"].takes_money()
    lin.client.post(f"{url}check/")
    page = lin.page(url)
    assert stage(page) == "paid"
    assert f'href="{order}"' in page
    assert "¥380.00" in lin.page("/wallet/")
    lin.pay(order, "wallet")
    assert stage(lin.page(order)) == "paid"


def test_top_up_never_leads_to_another_site(visit, channels):
    lin = visit("lin")
    answer = top_up(lin, "380", next="https://evil.example/")
    assert "evil" not in lin.page(answer.url)
    assert 'name="next" value="//evil' not in lin.page("/wallet/top-up/?next=//evil.example/")


@pytest.mark.parametrize(
    ("typed", "fen"), [("1", 100), ("0.01", 1), (" ¥1,234.5 ", 123_450), ("50000", 5_000_000), ("￥8", 800)]
)
def test_amounts_are_read_exactly(visit, typed, fen):
    assert top_up(visit("lin"), typed).status_code == 303
    assert TopUp.objects.get().amount_minor == fen


@pytest.mark.parametrize(
    "typed", ["", "0", "-5", "0.001", "50000.01", "abc", "1e400", "NaN", "Infinity", "9" * 5000]
)
def test_nonsense_amounts_are_refused_and_kept(visit, typed):
    answer = top_up(visit("lin"), typed)
    assert answer.status_code == 400
    assert 'data-refusal="amount_out_of_bounds"' in text_of(answer)
    assert f'value="{typed[:20]}"' in text_of(answer)
    assert TopUp.objects.count() == 0


def test_pressing_twice_tops_up_once(visit):
    lin = visit("lin")
    data = {"client_key": hidden(lin.page("/wallet/top-up/"), "client_key"), "amount": "10"}
    assert len({lin.client.post("/wallet/top-up/", data).url for _ in range(3)}) == 1
    answer = lin.client.post("/wallet/top-up/", data | {"amount": "20"})
    assert answer.status_code == 409
    assert hidden(text_of(answer), "client_key") != data["client_key"]


def test_another_buyers_top_up_does_not_exist(visit, channels):
    lin, mei = visit("lin"), visit("mei")
    url = top_up(lin, "10").url
    assert mei.get(url).status_code == 404
    assert mei.get(f"{url}status.json").status_code == 404
    assert mei.client.post(f"{url}check/").status_code == 404
    assert mei.pay(url, "alipay", hidden(lin.page(url), "token")).status_code == 404
    assert mei.get("/wallet/top-ups/W0000000000000000000/").status_code == 404
