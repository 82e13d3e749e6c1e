"""The gate in front of orders and of signing in, over HTTP: nothing set, limited, denied, asked for work, away."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from basis import fast
from risk import challenge, lists, policy, records
from risk.models import GateSetting, Judgement, LimitSetting, ListEntry, RuleSetting
from tests.api.conftest import Program, lin, place, problem, program, stranger  # noqa: F401  (fixtures)

# ruff: noqa: F811
from tests.conftest import Clock
from ticketing.models import Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Clock:
    from django.utils import timezone

    return Clock(now=timezone.now())


def limit(**fields) -> LimitSetting:
    row = LimitSetting(**{"route": "order", "scope": "buyer", "limit": 1, "window_ms": 60_000} | fields)
    row.full_clean()
    row.save()
    policy.forget()
    return row


def rule(code: str, **fields) -> None:
    RuleSetting(code=code, **{"mode": "on", "verdict": "challenge"} | fields).save()
    policy.forget()


def order(who: Program, show, *, key: str = "new", **headers: str):
    return who.post("/orders", {"show": show.code, "tier": "UPPER", "quantity": 1}, key=key, **headers)


def away(settings) -> None:
    settings.REDIS_URL = "unix:///nonexistent/kaipiao.sock"
    fast.store.cache_clear()


def test_nothing_set_asks_neither_store_nor_rule_and_loses_nothing_without_redis(lin, show, settings):
    away(settings)
    try:
        answer = order(lin, show)
        assert answer.status_code == 201
        assert "RateLimit" not in answer
    finally:
        fast.store.cache_clear()


def test_a_limit_refuses_with_the_wait_and_the_policy_and_decides_nothing(lin, show):
    row = limit()
    assert order(lin, show)["RateLimit-Policy"] == '"buyer";q=1;w=60'
    answer = order(lin, show, key="again")
    problem(answer, 429, "too_many_requests")
    assert 0 < int(answer["Retry-After"]) <= 66
    assert answer["RateLimit"].startswith('"buyer";r=0;t=')
    row.delete()
    policy.forget()
    assert order(lin, show, key="again").status_code == 201  # the same key: nothing was decided
    assert Order.objects.count() == 2


def test_of_several_limits_the_one_that_refused_or_is_nearest_is_told(lin, show):
    limit(limit=50)
    limit(limit=60, window_ms=300_000, scope="show")
    limit(limit=2, window_ms=600_000)
    answers = [order(lin, show, key=key) for key in "abc"]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert {answer["RateLimit-Policy"] for answer in answers} == {'"buyer";q=2;w=600'}
    assert [answer["RateLimit"][:12] for answer in answers] == [
        '"buyer";r=1;',
        '"buyer";r=0;',
        '"buyer";r=0;',
    ]


def test_an_ipv6_customer_is_one_however_he_changes_about(lin, program, show, settings):
    settings.BEHIND_PROXY = True
    limit(scope="address")
    mei = program("mei")
    given = ["2001:db8::a:b:c:1", "2001:db8::f:b:c:2", "2001:db8:0:1::1", "::ffff:203.0.113.9", "203.0.113.9"]
    told = [
        order(who, show, key=at, **{"X-Real-IP": at}) for who, at in zip((lin, mei) * 3, given, strict=False)
    ]
    assert [answer.status_code for answer in told] == [201, 429, 201, 201, 429]


def test_a_limit_of_another_show_is_not_ours_and_buyers_are_counted_apart(lin, program, show):
    limit(show="other")
    assert [order(lin, show).status_code for _ in range(2)] == [201, 201]
    limit(show=show.code)
    mei = program("mei")
    assert [order(who, show).status_code for who in (lin, mei, lin)] == [201, 201, 429]


def test_while_the_store_is_away_orders_close_only_where_a_limit_says_so(lin, show, settings):
    row = limit(limit=1000)
    away(settings)
    try:
        answer = order(lin, show)
        problem(answer, 503, "unavailable")
        assert answer["Retry-After"] == "2"
        row.if_away = "open"
        row.save()
        policy.forget()
        assert order(lin, show).status_code == 201
    finally:
        fast.store.cache_clear()


def test_a_denied_buyer_learns_what_to_do_and_not_which_rule(lin, show):
    value, _hint = lists.stored("buyer", str(lin.user.pk))
    ListEntry.objects.create(kind="deny", subject="buyer", value=value, reason="resold 40 seats")
    policy.forget()
    body = problem(order(lin, show), 403, "denied")
    assert body["reason"] == "listed"
    assert "resold" not in str(body)
    assert Order.objects.count() == 0
    records.drain()
    row = Judgement.objects.get()
    assert (row.verdict, row.buyer_id, row.reasons[0]["message"]) == ("deny", lin.user.pk, "resold 40 seats")


def test_a_shadow_rule_lets_pass_and_leaves_its_word(lin, show):
    rule("no_device_mark", mode="shadow", verdict="deny")
    assert order(lin, show).status_code == 201
    assert records.drain() == 1
    assert Judgement.objects.get().reasons[0]["code"] == "no_device_mark"


def test_a_program_does_the_work_and_goes_on_with_the_same_key(lin, program, show):
    GateSetting(difficulty=8).save()
    rule("no_device_mark")
    body = problem(order(lin, show, key="k-1"), 403, "challenge_required")
    asked = body["challenge"]
    answer = challenge.work(asked["token"], asked["difficulty"])
    mei = program("mei")
    foreign = mei.post("/challenge", {"token": asked["token"], "answer": answer}, key=None)
    assert problem(foreign, 409, "challenge_failed")["reason"] == "foreign"
    earned = lin.post("/challenge", {"token": asked["token"], "answer": answer}, key=None)
    assert earned.status_code == 200, earned.content
    ticket = {"X-Challenge-Pass": earned.json()["pass"]}
    assert order(lin, show, key="k-1", **ticket).status_code == 201
    assert order(lin, show, **ticket).status_code == 201
    problem(order(mei, show, **ticket), 403, "challenge_required")


def test_habits_are_asked_for_only_if_a_rule_wants_them(lin, show, django_assert_max_num_queries):
    from ticketing import history

    rule("holds_and_lets_go", verdict="deny", parameters={"orders": 2, "paid_percent": 50})
    for _ in range(2):
        number = order(lin, show).json()["number"]
        lin.post(f"/orders/{number}/cancel")
    from django.core.cache import cache

    assert history.of(lin.user.pk).unpaid_ended == 2
    cache.clear()
    assert problem(order(lin, show), 403, "denied")["reason"] == "looks_automated"


def test_signing_in_is_guarded_over_the_api_too(stranger, lin):
    rule("no_language", verdict="deny")
    answer = stranger.post(
        "/auth/session", {"identifier": "lin", "password": "a long enough password"}, key=None
    )
    problem(answer, 403, "denied")
    ok = stranger.post(
        "/auth/session",
        {"identifier": "lin", "password": "a long enough password"},
        key=None,
        **{"Accept-Language": "en"},
    )
    assert ok.status_code == 200, ok.content


def test_payment_tokens_are_handed_out_at_the_limits_pace_and_again_at_every_reload(
    lin, program, place, clock
):
    mei = program("mei")
    numbers = {who.user.handle: place(who)["number"] for who in (lin, mei)}
    limit(route="payment_token", scope="show", limit=1)
    assert lin.post(f"/orders/{numbers['lin']}/payment-token", key=None).status_code == 200
    late = mei.post(f"/orders/{numbers['mei']}/payment-token", key=None)
    problem(late, 429, "too_many_requests")
    assert int(late["Retry-After"]) > 0
    assert lin.post(f"/orders/{numbers['lin']}/payment-token", key=None).json()["token"]  # a reload
    page = Client(headers={"Accept-Language": "en"})
    page.force_login(mei.user)
    waits = page.get(f"/orders/{numbers['mei']}/")
    assert waits.status_code == 429
    assert b'http-equiv="refresh"' in waits.content
    fast.store().flushdb()  # the minute is over
    assert page.get(f"/orders/{numbers['mei']}/").status_code == 200
    assert mei.post(f"/orders/{numbers['mei']}/payment-token", key=None).json()["token"]


class TestPages:
    @pytest.fixture
    def phone(self, buyer) -> Client:
        client = Client(headers={"Accept-Language": "en"})
        client.force_login(buyer("lin"))
        return client

    def page(self, show) -> str:
        return f"/events/{show.event.slug}/"

    def form(self, phone, show) -> dict[str, str]:
        found = phone.get(self.page(show)).content.decode()
        key = re.search(r'name="client_key" value="([^"]+)"', found)
        return {"show": show.code, "tier": "UPPER", "quantity": "1", "client_key": key[1]}

    def test_a_limited_press_can_be_repeated_and_orders_once(self, phone, show):
        row = limit(limit=1)
        form = self.form(phone, show)
        assert phone.post(self.page(show), form).status_code == 303
        answer = phone.post(self.page(show), form)
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) > 0
        assert f'value="{form["client_key"]}"' in answer.content.decode()
        row.delete()
        policy.forget()
        assert phone.post(self.page(show), form).status_code == 303
        assert Order.objects.count() == 1

    def test_without_javascript_the_puzzle_leads_back_with_the_choice(self, phone, show, monkeypatch):
        monkeypatch.setattr(challenge, "PUZZLE_WAIT", timedelta(0))
        rule("script_agent")  # the test's client names none
        form = self.form(phone, show)
        sent = phone.post(self.page(show), form)
        assert sent.status_code == 303
        assert sent["Location"].startswith("/challenge/?for=order&next=")
        found = phone.get(sent["Location"]).content.decode()
        puzzle = found.split("data-puzzle")[1]
        token = re.search(r'name="token" value="([^"]+)"', puzzle)[1]
        back = re.search(r'name="next" value="([^"]+)"', puzzle)[1].replace("&amp;", "&")
        asked = re.search(r"○[^<]*([ABC])", puzzle.split("<legend>")[1])[1]
        row = puzzle.split(f">{asked}</text>")[1].split("</svg>")[0].split('font-size="7"')[0]
        answer = str(row.count("○"))
        done = phone.post("/challenge/", {"for": "order", "next": back, "token": token, "answer": answer})
        assert done.status_code == 303, done.content.decode()
        assert "tier=UPPER" in done["Location"]
        assert phone.post(self.page(show), form).status_code == 303
        assert Order.objects.count() == 1

    def test_the_way_back_is_never_another_site(self, phone, show):
        found = phone.get("/challenge/?for=order&next=https://evil.example/").content.decode()
        assert "evil" not in found.split("data-puzzle")[1]

    def test_a_page_gives_a_device_mark_once(self, phone, show):
        first = phone.get(self.page(show))
        assert first.cookies["device"]["httponly"]
        assert "device" not in phone.get(self.page(show)).cookies
