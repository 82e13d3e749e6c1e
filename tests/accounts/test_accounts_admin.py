"""The administration shows people masked and secrets not at all."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.tokens import issue_token
from basis.models import IdempotencyRecord

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    client = Client()
    client.force_login(User.objects.create_superuser("ops", "a long password of its own"))
    return client


@pytest.fixture
def lin():
    return User.objects.create_user(
        "lin", "another long password", phone="13812345678", email="lin@example.com"
    )


def shown(desk, url, status=200):
    answer = desk.get(url)
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()


def test_people_are_masked(desk, lin):
    for url in ("/admin/accounts/user/", f"/admin/accounts/user/{lin.pk}/change/"):
        page = shown(desk, url)
        assert "138****5678" in page
        assert "13812345678" not in page
        assert "lin@example.com" not in page
        assert lin.password.split("$")[-1] not in page
        assert "argon2" not in page


@pytest.mark.parametrize("typed", ["13812345678", "%2B86 138 1234 5678", "LIN@example.com", "lin"])
def test_the_desk_finds_a_buyer_by_what_he_says(desk, lin, typed):
    User.objects.create_user("other", phone="13900000000")
    page = shown(desk, f"/admin/accounts/user/?q={typed}")
    assert f"/admin/accounts/user/{lin.pk}/change/" in page
    assert "139****0000" not in page


def test_staff_are_added_and_edited_and_never_deleted(desk, lin):
    shown(desk, "/admin/accounts/user/add/")
    secret = "a long password of its own"
    answer = desk.post(
        "/admin/accounts/user/add/",
        {
            "handle": "desk2",
            "name": "Mei",
            "usable_password": "true",
            "password1": secret,
            "password2": secret,
        },
    )
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    mei = User.objects.get(handle="desk2")
    assert mei.check_password(secret)
    answer = desk.post(
        f"/admin/accounts/user/{lin.pk}/change/",
        {"handle": "lin", "name": "Lin", "language": "en", "is_active": "on", "vip_level": "2"},
    )
    assert answer.status_code == 302
    lin.refresh_from_db()
    assert (lin.name, lin.phone, lin.check_password("another long password")) == ("Lin", "13812345678", True)
    shown(desk, f"/admin/accounts/user/{lin.pk}/delete/", 403)
    shown(desk, f"/admin/accounts/user/{lin.pk}/password/")


def test_tokens_are_looked_at_and_revoked(desk, lin):
    token, secret = issue_token(user=lin, name="till", scopes=["orders:read"], now=timezone.now())
    for url in ("/admin/accounts/apitoken/", f"/admin/accounts/apitoken/{token.pk}/change/"):
        page = shown(desk, url)
        assert token.prefix in page
        assert secret not in page
        assert token.digest not in page
    desk.post("/admin/accounts/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})
    assert ApiToken.objects.get().revoked_at is not None
    shown(desk, "/admin/accounts/apitoken/add/", 403)


def test_idempotency_keys_are_looked_at_without_their_answers(desk):
    now = timezone.now()
    row = IdempotencyRecord.objects.create(
        principal="user:1",
        route="POST x",
        key="k-1",
        fingerprint="f",
        status=201,
        body="private",
        claimed_until=now,
        created_at=now,
    )
    assert "k-1" in shown(desk, "/admin/basis/idempotencyrecord/")
    assert "private" not in shown(desk, f"/admin/basis/idempotencyrecord/{row.pk}/change/")
    shown(desk, f"/admin/basis/idempotencyrecord/{row.pk}/delete/", 403)
