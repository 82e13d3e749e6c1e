"""Sealed columns: what the database sees, rotation, and that nothing can be compared by accident."""

import pytest
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection

from accounts.models import User
from basis import sealed

OLD, NEW = "0b" * 32, "0c" * 32


def test_a_token_opens_to_its_text_and_never_repeats():
    first, second = sealed.seal("13812345678"), sealed.seal("13812345678")
    assert first != second
    assert "13812345678" not in first
    assert sealed.open_sealed(first) == sealed.open_sealed(second) == "13812345678"


@pytest.mark.parametrize("text", ["", "林", "a" * 5000, "\0", "🎫 😀"])
def test_any_text_survives(text):
    assert sealed.open_sealed(sealed.seal(text)) == text


def test_every_single_changed_character_is_noticed():
    token = sealed.seal("lin@example.com")
    for position in range(len(token.rstrip("=")) - 1):  # the last character may carry unused bits of base64
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        with pytest.raises(sealed.Unsealable):
            sealed.open_sealed(changed)


@pytest.mark.parametrize(
    "junk", ["", "v1", "v1.", "v1.00000000.xx", "v1.é.é", "plain text", "v2.aa.bb", "v1..."]
)
def test_junk_is_refused_by_name(junk):
    with pytest.raises(sealed.Unsealable):
        sealed.open_sealed(junk)


def test_old_tokens_open_while_their_key_is_listed(settings):
    settings.DATA_KEYS = [OLD]
    token, index = sealed.seal("lin"), sealed.blind_index("lin", "email")
    settings.DATA_KEYS = [NEW, OLD]
    assert sealed.open_sealed(token) == "lin"
    assert not sealed.sealed_with_newest(token)
    assert sealed.sealed_with_newest(sealed.seal("lin"))
    assert index in sealed.blind_indexes("lin", "email")
    settings.DATA_KEYS = [NEW]
    with pytest.raises(sealed.Unsealable):
        sealed.open_sealed(token)


@pytest.mark.parametrize("keys", [[], ["zz"], ["0b" * 16]])
def test_a_wrong_key_fails_before_anything_is_stored(settings, keys):
    settings.DATA_KEYS = keys
    with pytest.raises(ImproperlyConfigured):
        sealed.seal("lin")


def test_an_index_belongs_to_one_purpose():
    assert sealed.blind_index("x", "phone") == sealed.blind_index("x", "phone")
    assert sealed.blind_index("x", "phone") != sealed.blind_index("x", "email")
    assert len(sealed.blind_index("x", "phone")) == 64


@pytest.mark.django_db
def test_the_database_never_sees_the_text():
    user = User.objects.create_user("lin", phone="138 1234 5678")
    with connection.cursor() as cursor:
        cursor.execute("SELECT phone, phone_index FROM accounts_user WHERE id = %s", [user.pk])
        phone, index = cursor.fetchone()
    assert phone.startswith("v1.")
    assert "13812345678" not in phone + index
    assert User.objects.get(pk=user.pk).phone == "13812345678"


@pytest.mark.django_db
def test_a_sealed_column_cannot_be_compared():
    with pytest.raises(FieldError, match="blind index"):
        User.objects.filter(phone="13812345678").first()
    with pytest.raises(FieldError, match="blind index"):
        User.objects.filter(email__icontains="lin").first()
    assert not User.objects.filter(phone__isnull=False).exists()


@pytest.mark.parametrize(
    ("mask", "text", "shown"),
    [
        (sealed.mask_phone, "13812345678", "138****5678"),
        (sealed.mask_phone, "+85291234567", "+852****4567"),
        (sealed.mask_phone, "1381", "****"),
        (sealed.mask_phone, None, ""),
        (sealed.mask_email, "lin.wei@example.com", "l***@example.com"),
        (sealed.mask_email, "", ""),
        (sealed.mask_secret, "kp_abcdefghijklmnopqrstuvwxyz", "kp_abcde…"),
        (sealed.mask_secret, "short", "s…"),
    ],
)
def test_masks(mask, text, shown):
    assert mask(text) == shown
