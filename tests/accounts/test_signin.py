"""Registering and signing in: three names, one query, no hint about who exists."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from accounts.models import User
from accounts.signin import register

PASSWORD = "seven blue elephants"


@pytest.fixture(autouse=True)
def quick_hasher(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def lin(db):
    return register(
        phone="13812345678", email="lin@example.com", password=PASSWORD, name="林", now=timezone.now()
    )


@pytest.mark.parametrize(
    "name", ["13812345678", "+86 138 1234 5678", "lin@example.com", " LIN@Example.com ", "handle"]
)
def test_each_name_opens_with_one_query(lin, name, django_assert_num_queries):
    typed = lin.handle.upper() if name == "handle" else name
    with django_assert_num_queries(1):
        assert authenticate(username=typed, password=PASSWORD) == lin


@pytest.mark.parametrize(
    "typed",
    ["", "13900000000", "nobody@example.com", "nobody", "@", "138", "\0", "x" * 3000, "l\0n", "😀@x", "*"],
)
def test_a_name_nobody_has(lin, typed):
    assert authenticate(username=typed, password=PASSWORD) is None


def test_an_unknown_name_costs_as_much_as_a_wrong_password(lin, monkeypatch):
    from django.contrib.auth import hashers

    hashed = []
    honest = hashers.MD5PasswordHasher.encode
    monkeypatch.setattr(
        hashers.MD5PasswordHasher,
        "encode",
        lambda self, *args, **kwargs: hashed.append(1) or honest(self, *args, **kwargs),
    )
    authenticate(username="13812345678", password="wrong")
    known = len(hashed)
    authenticate(username="13900000000", password="wrong")
    assert len(hashed) - known == known == 1


def test_a_shut_account_stays_out(lin):
    User.objects.update(is_active=False)
    assert authenticate(username="13812345678", password=PASSWORD) is None


def refused(**fields):
    with pytest.raises(ValidationError) as caught:
        register(**{"password": PASSWORD, "now": timezone.now()} | fields)
    return {name: [error.code for error in errors] for name, errors in caught.value.error_dict.items()}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({}, {"phone": ["required"]}),
        ({"phone": "123"}, {"phone": ["bad_phone"]}),
        ({"email": "x"}, {"email": ["invalid"]}),
        ({"phone": "13812345678", "password": "short"}, {"password": ["password_too_short"]}),
        ({"phone": "13812345678", "password": "13812345678"}, {"password": ["password_too_similar"]}),
        (
            {"email": "elephants@example.com", "password": "elephants@example.com"},
            {"password": ["password_too_similar"]},
        ),
        ({"phone": "1", "password": "q7!x"}, {"phone": ["bad_phone"], "password": ["password_too_short"]}),
    ],
)
def test_every_mistake_is_named_at_once_and_leaves_no_trace(fields, errors):
    assert refused(**fields) == errors
    assert User.objects.count() == 0


def test_a_contact_that_is_taken(lin, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert refused(phone="+86 13812345678", email="LIN@example.com") == {
            "phone": ["taken"],
            "email": ["taken"],
        }
    assert refused(phone="13900000000", email="lin@example.com") == {"email": ["taken"]}


@pytest.fixture
def committed(django_db_setup, django_db_blocker):
    """Real commits, as threads need them. Swept by rows, since append-only tables refuse the usual TRUNCATE."""
    with django_db_blocker.unblock():
        yield
        User.objects.all().delete()


def test_eight_registrations_at_once_make_one_account(committed):
    barrier = threading.Barrier(8)

    def one(_number):
        try:
            barrier.wait(10)
            register(phone="13812345678", password=PASSWORD, now=timezone.now())
            return "made"
        except ValidationError as error:
            return error.error_dict["phone"][0].code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(8))) == ["made"] + ["taken"] * 7
    assert User.objects.count() == 1
