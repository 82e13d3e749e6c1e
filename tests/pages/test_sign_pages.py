"""Signing in, up and out."""

import pytest
from django.test import Client

from accounts.models import User
from tests.pages.conftest import text_of

PASSWORD = "a long enough password"


def sign_up(client, identifier, password=PASSWORD, **more):
    return client.post("/sign-up/", {"identifier": identifier, "password": password, "name": "林晓"} | more)


def sign_in(client, identifier, password=PASSWORD, **more):
    return client.post("/sign-in/", {"identifier": identifier, "password": password} | more)


@pytest.mark.parametrize("identifier", ["13812345678", "lin@example.com"])
def test_new_buyer_is_signed_in_and_may_come_back(db, identifier):
    client = Client()
    answer = sign_up(client, identifier, next="/orders/")
    assert (answer.status_code, answer.url) == (303, "/orders/")
    assert client.get("/orders/").status_code == 200
    assert client.post("/sign-out/").status_code == 303
    assert client.get("/orders/").status_code == 302
    answer = sign_in(client, identifier)
    assert (answer.status_code, answer.url) == (303, "/")


@pytest.mark.parametrize(
    ("identifier", "password", "says"),
    [
        ("13812345678", "short", "密码"),
        ("138", PASSWORD, "请输入手机号"),
        ("lin@", PASSWORD, "邮"),
        ("", PASSWORD, "必填"),
        ("13812345678", "13812345678", "密码"),
    ],
)
def test_bad_sign_ups_say_what_is_wrong_and_keep_the_input(db, identifier, password, says):
    answer = sign_up(Client(headers={"accept-language": "zh-hans"}), identifier, password)
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert f'value="{identifier}"' in text_of(answer) or not identifier
    assert User.objects.count() == 0


def test_taken_contact_leads_to_signing_in(db):
    sign_up(Client(), "13812345678")
    answer = sign_up(Client(headers={"accept-language": "zh-hans"}), "+86 138 1234 5678")
    assert answer.status_code == 400
    assert "请直接登录" in text_of(answer)


def test_wrong_password_and_unknown_account_look_the_same(db):
    sign_up(Client(), "13812345678")
    answers = [sign_in(Client(), "13812345678", "wrong"), sign_in(Client(), "13900000000", "wrong")]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert all("账号或密码不正确" in text_of(answer) for answer in answers)
    assert all('password" value' not in text_of(answer) for answer in answers)


def test_guessing_is_slowed_down(db):
    client = Client()
    answers = [sign_in(client, "13812345678", f"guess {n}") for n in range(11)]
    assert [answer.status_code for answer in answers] == [400] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert "尝试次数过多" in text_of(answers[-1])


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "https:evil.example",
        "/\\evil.example",
        "",
    ],
)
def test_next_never_leaves_the_site(db, target):
    client = Client()
    sign_up(Client(), "13812345678")
    answer = client.post(
        f"/sign-in/?next={target}", {"identifier": "13812345678", "password": PASSWORD, "next": target}
    )
    assert (answer.status_code, answer.url) == (303, "/")


def test_sign_out_is_a_post_only(db):
    assert Client().get("/sign-out/").status_code == 405


def test_pages_of_buyers_ask_to_sign_in(db):
    for path in ("/orders/", "/tickets/", "/wallet/", "/wallet/top-up/", "/orders/K0000000000000000000/"):
        answer = Client().get(path)
        assert answer.status_code == 302
        assert answer.url == f"/sign-in/?next={path}"


def test_a_buyer_who_comes_to_the_staffs_door_is_told_so(visit, buyer):
    assert "data-not-staff" in visit("lin").client.get("/admin/login/?next=/admin/").content.decode()
    assert "data-not-staff" not in visit().client.get("/admin/login/").content.decode()
