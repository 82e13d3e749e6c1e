"""Staff see what a settlement is made of, and what keeps it waiting."""

from __future__ import annotations

import pytest

from accounts.models import User
from risk.trading import marking

pytestmark = pytest.mark.django_db
LIST = "/admin/ticketing/showsettlement/"


@pytest.fixture
def desk(client, db):
    client.force_login(User.objects.create_superuser("boss", "a long enough password"))
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def test_a_held_settlement_says_who_holds_it_and_why(desk, settle, sold):
    sold("lin")
    settle.is_over()
    marking.hold(merchant=settle.organiser.code, actor="mei", reason="buys from itself", now=settle.clock())
    settle.round()
    page = desk.get(f"{LIST}{settle.record().pk}/change/").content.decode()
    assert "the organiser&#x27;s settlement is held" in page
    assert "mei: buys from itself" in page
    assert "held" in desk.get("/admin/ticketing/organiser/").content.decode()


def test_a_settled_show_shows_its_moves_and_leads_to_the_books(desk, settle, sold):
    sold("lin")
    settle.is_over()
    settle.round()
    record = settle.record()
    page = desk.get(f"{LIST}{record.pk}/change/").content.decode()
    for told in ("¥760.00", "¥38.00", "¥722.00", "5 %", f"show:{record.number}:1", "merchant:"):
        assert told in page, told
    listed = desk.get(f"{LIST}?q={record.number}").content.decode()
    assert record.number in listed
    assert "settled" in listed


def test_nobody_edits_a_settlement(desk, settle, sold):
    sold("lin")
    settle.is_over()
    settle.round()
    assert desk.post(f"{LIST}{settle.record().pk}/change/", {"standing": "due"}).status_code == 403
    assert desk.get(f"{LIST}add/").status_code == 403


def test_the_list_asks_once_for_all(desk, settle, sold, django_assert_max_num_queries):
    sold("lin")
    settle.is_over()
    settle.round()
    with django_assert_max_num_queries(16):
        assert desk.get(LIST).status_code == 200
