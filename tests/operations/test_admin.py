"""The staff's pages: every model has one, money cannot be touched there, what may be edited is checked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import flatten, label_for_field
from django.contrib.auth.models import Permission
from django.db import connection
from django.forms import model_to_dict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import User
from desk import inbox
from operations import dashboard, seeding
from operations.admin import OURS
from payments.admin import readable
from payments.entry_models import ChannelSetting, ChannelTurn
from payments.models import Notification, OutboxMessage, Payment, Refund, Verdict
from payments.reconcile_models import Discrepancy, ReconcileRun
from tests.operations.scene import Scene
from ticketing.models import (
    Event,
    Invitation,
    Order,
    Organiser,
    PriceTier,
    RefundPolicy,
    SalePhase,
    Section,
    Show,
    Ticket,
    Venue,
)
from wallet.models import JournalEntry, Posting

MODELS = [model for model in apps.get_models() if model._meta.app_label in OURS]
EDITED = {
    *(ChannelSetting, Event, Invitation, Organiser, PriceTier, RefundPolicy),
    *(SalePhase, Section, Show, Venue),
}
# No channel of the scene is bounded, no statement compared: tests/payments/test_entry.py, tests/reconcile play these.
UNPLAYED = {ChannelSetting, ChannelTurn, Discrepancy, ReconcileRun}
MONEY = [
    model
    for model in MODELS
    if model not in EDITED and model._meta.app_label in ("wallet", "payments", "ticketing")
]
QUERIES_AT_MOST = 12


def address(model: Any, what: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=arguments)


def named(model: Any) -> str:
    return str(model._meta.label)


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def clerk() -> Client:
    """Staff without any right."""
    client = Client()
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    return client


@pytest.mark.django_db  # One test must ask for it, or this file alone gets no test database to play the scene in.
def test_every_model_of_ours_has_a_page() -> None:
    assert [named(model) for model in MODELS if not admin.site.is_registered(model)] == []


WITHOUT_A_WORD = {"ID", "SHA-256"}


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_every_word_of_its_pages_is_told_in_chinese(model: Any) -> None:
    """Django makes an English word of an attribute's name where nobody says another (basis.field_names)."""
    page = admin.site._registry[model]
    with translation.override("zh-hans"):
        words = {str(model._meta.verbose_name), str(model._meta.verbose_name_plural)}
        words |= {str(label_for_field(name, model, page)) for name in shown_in(page)}
        for inline in page.inlines:
            told = inline(model, admin.site)
            words |= {str(label_for_field(name, told.model, told)) for name in told.fields or ()}
    assert {word for word in words if word.isascii()} <= WITHOUT_A_WORD


def shown_in(page: Any) -> set[str]:
    listed = {*page.list_display, *page.readonly_fields, *flatten(page.fields or ())}
    if not page.fields:
        listed |= {field.name for field in page.model._meta.local_fields}
    return listed - {"__str__", "action_checkbox"}


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_its_pages_open(model: Any, scene: Scene, undone: None, boss: Client) -> None:
    assert boss.get(address(model, "changelist")).status_code == 200
    thing = model._default_manager.first()
    if thing is not None:
        page = boss.get(address(model, "change", thing.pk))
        assert page.status_code == 200, page.content[:2000]
    else:
        assert model in UNPLAYED or model._meta.app_label not in ("wallet", "payments"), "the scene lacks it"


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_who_has_no_right_sees_nothing(model: Any, scene: Scene, undone: None, clerk: Client) -> None:
    assert clerk.get(address(model, "changelist")).status_code == 403
    thing = model._default_manager.first()
    if thing is not None:
        assert clerk.get(address(model, "change", thing.pk)).status_code == 403


@pytest.mark.parametrize("model", MONEY, ids=named)
def test_money_cannot_be_touched_even_by_a_superuser(
    model: Any, scene: Scene, undone: None, boss: Client
) -> None:
    before = list(model._default_manager.order_by("pk").values())
    thing = model._default_manager.order_by("pk").first()
    assert boss.get(address(model, "add")).status_code == 403
    assert boss.post(address(model, "add"), {"state": "paid"}).status_code == 403
    if thing is not None:
        sent = {name: "1" if value is None else str(value) for name, value in model_to_dict(thing).items()}
        sent |= {"state": "paid", "amount_minor": "1", "_save": "Save"}
        assert boss.post(address(model, "change", thing.pk), sent).status_code == 403
        assert boss.post(address(model, "delete", thing.pk), {"post": "yes"}).status_code == 403
        chosen = {"action": "delete_selected", "_selected_action": [str(thing.pk)], "post": "yes"}
        boss.post(address(model, "changelist"), chosen)
    assert list(model._default_manager.order_by("pk").values()) == before


@pytest.fixture
def full(scene: Scene, undone: None) -> None:
    """A hundred rows and more of everything that a sale fills."""
    show = seeding.seed_show(code="full", now=scene.tick(), rows_per_section=1)
    seeding.seed_sold(show=show, seats=600, now=scene.tick())
    payments = list(Payment.objects.all()[:120])
    Refund.objects.bulk_create(
        Refund(
            number=f"R{n:06d}",
            payment=payment,
            key=f"full:{n}",
            amount_minor=1,
            currency="CNY",
            reason="x",
            created_at=scene.now,
        )
        for n, payment in enumerate(payments)
    )
    Notification.objects.bulk_create(
        Notification(
            channel="alipay",
            event_id=f"f{n}",
            received_at=scene.now,
            body=b"x" * 500,
            verdict=Verdict.PARKED,
            payment_number=payment.number,
        )
        for n, payment in enumerate(payments)
    )


def test_a_list_of_a_hundred_asks_a_bounded_number_of_questions(
    full: None, boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A job's work; who comes before it has ever run takes the inbox's sums himself.
    inbox.refresh_summary(now=timezone.now())
    asked: dict[str, int] = {}
    for model in MODELS:
        monkeypatch.setattr(admin.site.get_model_admin(model), "list_per_page", 100)
        with CaptureQueriesContext(connection) as queries:
            assert boss.get(address(model, "changelist")).status_code == 200
        asked[named(model)] = len(queries)
    assert {name: n for name, n in asked.items() if n > QUERIES_AT_MOST} == {}


def test_numbers_find_and_lead_to_each_other(scene: Scene, undone: None, boss: Client) -> None:
    order, payment = scene.orders["refunded"], scene.payments["refunded"]
    refund = scene.refunds["refunded"]
    page = boss.get(address(Order, "change", order.pk)).content.decode()
    for wanted in (
        payment.number,
        refund.number,
        address(Payment, "change", payment.pk),
        f"q={order.number}",
    ):
        assert wanted in page
    page = boss.get(address(Payment, "change", payment.pk)).content.decode()
    for wanted in (order.number, refund.number, f"q=chase%3A{payment.number}", f"q={payment.number}"):
        assert wanted in page
    for model, text, found in (
        (Order, order.number, order.number),
        (Payment, order.number, payment.number),
        (Refund, payment.number, refund.number),
        (JournalEntry, order.number, f"pay:{payment.number}"),
        (Posting, f"pay:{payment.number}", "guarantee::CNY"),
        (OutboxMessage, f"refund:{refund.number}", f"refund:{refund.number}"),
        (Ticket, scene.orders["paid_wallet"].number, scene.orders["paid_wallet"].number),
    ):
        page = boss.get(address(model, "changelist"), {"q": text}).content.decode()
        assert found in page, (model, text)
        assert "0 results" not in page


def test_the_history_stands_on_the_order(scene: Scene, undone: None, boss: Client) -> None:
    page = boss.get(address(Order, "change", scene.orders["paid_late"].pk)).content.decode()
    assert page.index("placed") < page.index("hold_over") < page.index("paid_late_same_seats")


def test_what_a_channel_sent_is_shown_masked_and_as_text(scene: Scene, undone: None, boss: Client) -> None:
    row = Notification.objects.create(
        channel="alipay",
        event_id="xss",
        received_at=scene.now,
        body=b"subject=%3Cscript%3Ealert(1)%3C%2Fscript%3E&sign=TOPSECRET&buyer_logon_id=158****6789&phone=13812345678",
        headers={"Wechatpay-Signature": "TOPSECRET"},
        verdict=Verdict.REFUSED,
    )
    page = boss.get(address(Notification, "change", row.pk)).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    for hidden in ("TOPSECRET", "158****6789", "13812345678"):
        assert hidden not in page


def test_any_body_is_readable() -> None:
    assert "\N{REPLACEMENT CHARACTER}" in readable(b"\xff\xfe")
    assert readable(b"[1, 2]") == "[1, 2]"
    assert "more bytes" in readable(b"a" * 100_000)
    assert "resource" in readable(b'{"resource": {"ciphertext": "abc"}}')


# -- what may be edited ----------------------------------------------------------------------------------------------


def times(opens: Any, closes: Any) -> dict[str, str]:
    sent = {}
    for name, at in (("opens_at", opens), ("closes_at", closes)):
        local = timezone.localtime(at)
        sent |= {f"{name}_0": f"{local:%Y-%m-%d}", f"{name}_1": f"{local:%H:%M:%S}"}
    return sent


def phase_form(show: Show, opens: Any, closes: Any, **more: Any) -> dict[str, Any]:
    sent = {"show": show.pk, "kind": "general", "per_buyer_limit": 4, "eligibility": "everyone"}
    return {**sent, "account_age_days": 0, **times(opens, closes), **more}


def test_phases_that_overlap_are_told_beside_the_field(scene: Scene, undone: None, boss: Client) -> None:
    known = SalePhase.objects.get(show=scene.show, kind="general")
    day = timedelta(days=1)
    answer = boss.post(
        address(SalePhase, "add"), phase_form(scene.show, known.opens_at + day, known.closes_at + day)
    )
    assert answer.status_code == 200
    assert "opens_at" in answer.context["adminform"].form.errors
    answer = boss.post(
        address(SalePhase, "add"), phase_form(scene.show, known.closes_at + 2 * day, known.closes_at + day)
    )
    assert "closes_at" in answer.context["adminform"].form.errors
    answer = boss.post(
        address(SalePhase, "add"), phase_form(scene.show, known.closes_at, known.closes_at + day)
    )
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert SalePhase.objects.filter(show=scene.show).count() == 4
    answer = boss.post(
        address(SalePhase, "change", known.pk), phase_form(scene.show, known.opens_at, known.closes_at + day)
    )
    assert "opens_at" in answer.context["adminform"].form.errors


def test_a_phase_that_somebody_else_saved_meanwhile_is_told_too(
    scene: Scene, undone: None, boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = SalePhase.objects.get(show=scene.show, kind="general")
    form = admin.site.get_model_admin(SalePhase).form
    monkeypatch.setattr(form, "clean", lambda self: self.cleaned_data)
    answer = boss.post(
        address(SalePhase, "add"), phase_form(scene.show, known.opens_at, known.closes_at), follow=True
    )
    assert answer.status_code == 200
    assert SalePhase.objects.filter(show=scene.show).count() == 3
    assert [str(message.level_tag) for message in answer.context["messages"]] == ["error"]


def test_texts_are_edited_and_codes_are_not(scene: Scene, undone: None, boss: Client) -> None:
    venue = scene.show.venue
    sent = {
        "code": "elsewhere",
        "name_zh": "新名",
        "name_en": "New name",
        "city_zh": "上海",
        "city_en": "Shanghai",
    }
    assert boss.post(address(Venue, "change", venue.pk), sent).status_code == 302
    venue.refresh_from_db()
    assert (venue.name_en, venue.code) == ("New name", "river-stadium-1")
    assert boss.post(address(Venue, "delete", venue.pk), {"post": "yes"}).status_code == 403


def test_the_price_of_a_tier_that_was_ordered_stays(scene: Scene, undone: None, boss: Client) -> None:
    ordered = PriceTier.objects.get(show=scene.show, code="UPPER")
    free = PriceTier.objects.get(show=scene.show, code="VIP")
    for tier in (ordered, free):
        sent = {"name_zh": "甲", "name_en": "A", "colour": "#112233", "price_minor": 5, "rank": tier.rank}
        assert boss.post(address(PriceTier, "change", tier.pk), sent).status_code == 302
        tier.refresh_from_db()
        assert tier.name_en == "A"
    assert (ordered.price_minor, free.price_minor) == (38_000, 5)
    bad = {"name_zh": "甲", "name_en": "A", "colour": "red;}", "price_minor": 0, "rank": 1}
    answer = boss.post(address(PriceTier, "change", free.pk), bad)
    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) >= {"colour"}


def test_a_phase_with_orders_cannot_be_deleted(scene: Scene, undone: None, boss: Client) -> None:
    used = SalePhase.objects.get(show=scene.show, kind="general")
    unused = SalePhase.objects.get(show=scene.show, kind="presale")
    assert boss.post(address(SalePhase, "delete", used.pk), {"post": "yes"}).status_code == 403
    assert boss.post(address(SalePhase, "delete", unused.pk), {"post": "yes"}).status_code == 302
    assert SalePhase.objects.filter(show=scene.show).count() == 2


# -- the first page --------------------------------------------------------------------------------------------------


def test_the_first_page_counts_what_waits_and_leads_there(scene: Scene, undone: None, boss: Client) -> None:
    page = boss.get(reverse("admin:index"))
    assert page.status_code == 200
    cards = {str(card.url): card for card in page.context["cards"]}
    parked = next(card for url, card in cards.items() if "parked" in url)
    refused = next(card for url, card in cards.items() if "refused" in url)
    assert (parked.count, refused.count) == (1, 1)
    assert parked.alarming
    for url in cards:
        assert boss.get(url).status_code == 200, url
        assert "e=1" not in boss.get(url).request["QUERY_STRING"]


def test_cards_follow_rights(scene: Scene, undone: None, clerk: Client) -> None:
    assert clerk.get(reverse("admin:index")).context["cards"] == []
    user = User.objects.get(handle="clerk")
    user.user_permissions.add(Permission.objects.get(codename="view_refund"))
    cards = clerk.get(reverse("admin:index")).context["cards"]
    assert len(cards) == 1
    assert set(dashboard._CARDS) >= {"payments.view_refund"}
    assert clerk.get(address(Refund, "changelist")).status_code == 200
    assert clerk.get(address(Payment, "changelist")).status_code == 403
