"""The administration's door: as many tries as at the buyers' doors, counted together with them."""

import pytest
from django.test import Client

from accounts import throttle
from accounts.models import User

PASSWORD = "seven blue elephants"
DOOR = "/admin/login/"


@pytest.fixture(autouse=True)
def quick_hasher(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def mei(db):
    return User.objects.create_user("mei", PASSWORD, is_staff=True, phone="13812345678")


def knock(client, name, password="wrong"):
    return client.post(DOOR, {"username": name, "password": password, "next": "/admin/"})


def test_the_right_password_opens_it(mei, client):
    assert knock(client, "mei", PASSWORD).status_code == 302


def test_guessing_at_one_member_is_bounded(mei, client):
    for _number in range(throttle.SIGN_IN_PER_IDENTIFIER.most):
        assert knock(client, "mei").status_code == 200
    assert knock(client, "mei", PASSWORD).status_code == 200
    assert "_auth_user_id" not in client.session


def test_the_same_name_written_otherwise_is_the_same_name(mei, client):
    spellings = ["13812345678", "+86 13812345678", "138-1234-5678", "138 1234 5678", "0086 138(1234)5678"]
    for number in range(throttle.SIGN_IN_PER_IDENTIFIER.most):
        knock(client, spellings[number % len(spellings)])
    knock(client, "+8613812345678", PASSWORD)
    assert "_auth_user_id" not in client.session


def test_tries_at_every_door_are_counted_together(mei, client):
    for number in range(throttle.SIGN_IN_PER_IDENTIFIER.most):
        if number % 2:
            knock(client, "mei")
        else:
            client.post("/sign-in/", {"identifier": "MEI", "password": "wrong"})
    knock(client, "mei", PASSWORD)
    assert "_auth_user_id" not in client.session


def test_one_address_cannot_try_the_whole_staff(mei, monkeypatch):
    monkeypatch.setattr(throttle, "SIGN_IN_PER_ADDRESS", throttle.Rate(3, 300))
    here = Client(REMOTE_ADDR="10.0.0.8")
    for number in range(3):
        knock(here, f"staff{number}")
    knock(here, "mei", PASSWORD)
    assert "_auth_user_id" not in here.session
