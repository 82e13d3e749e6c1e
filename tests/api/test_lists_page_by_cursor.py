"""Lists: newest first, whole, without repetition, also while they grow at the head."""

from urllib.parse import urlsplit

import pytest

from wallet.ledger import Entry, Line, post

pytestmark = pytest.mark.django_db


def follow(who, path, link="next"):
    """Every page from `path` on."""
    while path:
        page = who.get(path).json()
        yield page
        parts = urlsplit(page[link] or "")
        path = parts.path and f"{parts.path}?{parts.query}"


def test_topups_newest_first_in_pages(lin):
    numbers = [lin.post("/wallet/topups", {"amount": i + 1}).json()["number"] for i in range(7)]
    pages = list(follow(lin, "/wallet/topups?limit=3"))
    assert [len(page["items"]) for page in pages] == [3, 3, 1]
    assert [one["number"] for page in pages for one in page["items"]] == numbers[::-1]
    assert (pages[0]["previous"], pages[-1]["next"]) == (None, None)
    back = lin.get(pages[1]["previous"]).json()
    assert back["items"] == pages[0]["items"]


def test_a_list_that_grows_repeats_nothing(lin):
    for i in range(4):
        lin.post("/wallet/topups", {"amount": i + 1})
    first, second = lin.get("/wallet/topups?limit=2").json(), None
    lin.post("/wallet/topups", {"amount": 99})
    second = lin.get(first["next"]).json()
    amounts = [one["amount"]["amount"] for page in (first, second) for one in page["items"]]
    assert amounts == [4, 3, 2, 1]


def test_every_list_pages(lin, show, place, pay):
    for _ in range(2):
        pay(lin, place(lin)["number"])
        lin.post("/wallet/topups", {"amount": 5})
    for path in ("/orders", "/payments", "/tickets", "/wallet/topups", "/wallet/entries"):
        key = "id" if path == "/wallet/entries" else "number"
        whole = [one[key] for one in lin.get(path).json()["items"]]
        assert len(whole) >= 2
        single = [one[key] for page in follow(lin, f"{path}?limit=1") for one in page["items"]]
        assert single == whole


def test_entries_of_cash_and_bonus_stay_apart(program, pay):
    mixed = program("mixed", cash=30_000, bonus=20_000)
    wallet = mixed.get("/wallet").json()
    assert (wallet["bonus"]["amount"], wallet["available"]["amount"]) == (20_000, 50_000)
    number = pay(mixed)["purchase"]["number"]
    lines = mixed.get("/wallet/entries").json()["items"][:2]
    assert {(line["account"], line["amount"]["amount"], line["reference"]) for line in lines} == {
        ("bonus", -20_000, number),
        ("cash", -18_000, number),
    }


def test_what_is_held_is_not_available(lin, clock):
    from wallet.ledger import reserve

    account = f"buyer_cash:{lin.user.pk}:CNY"
    reserve(key="h", account=account, amount_minor=50_000, reference="", now=clock())
    wallet = lin.get("/wallet").json()
    assert (wallet["cash"]["amount"], wallet["held"]["amount"]) == (200_000, 50_000)
    assert wallet["available"]["amount"] == 150_000
    lines = (Line("opening::CNY", -1), Line(account, 1))
    assert post(Entry("gift", "opening", "", lines), at=clock())


def test_a_buyer_without_accounts_has_nothing(db, program, django_user_model):
    from wallet.models import Account

    new = program("new")
    Account.objects.filter(owner=str(new.user.pk)).delete()
    assert new.get("/wallet").json()["available"] == {"amount": 0, "currency": "CNY"}
    assert new.get("/wallet/entries").json()["items"] == []
