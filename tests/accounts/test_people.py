"""Users: contacts in one form, sealed and indexed in step; what the database refuses."""

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import rotation
from accounts.contacts import normal_email, normal_phone
from accounts.models import User
from basis.sealed import blind_index


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("13812345678", "13812345678"),
        ("138-1234-5678", "13812345678"),
        (" 138 1234 5678 ", "13812345678"),
        ("+8613812345678", "13812345678"),
        ("0086 13812345678", "13812345678"),
        ("+852 9123 4567", "+85291234567"),
    ],
)
def test_one_number_one_form(typed, stored):
    assert normal_phone(typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "12812345678",
        "1381234567",
        "138123456789",
        "abc",
        "+8612345",
        "+86 021 1234567",
        "１３８１２３４５６７８",
        "+1",
    ],
)
def test_what_is_no_number_is_refused(typed):
    with pytest.raises(ValidationError):
        normal_phone(typed)


def test_addresses_are_compared_without_case():
    assert normal_email("  Lin.Wei@Example.COM ") == "lin.wei@example.com"
    for bad in ("", "lin", "lin@", "@x.cn", "a b@x.cn", "x" * 250 + "@x.cn"):
        with pytest.raises(ValidationError):
            normal_email(bad)


@pytest.mark.django_db
def test_the_index_follows_the_contact():
    lin = User.objects.create_user("lin", phone="13812345678", email="lin@example.com")
    assert lin.phone_index == blind_index("13812345678", "phone")
    lin.phone = "13912345678"
    lin.save(update_fields=["phone"])
    lin.refresh_from_db()
    assert (lin.phone, lin.phone_index) == ("13912345678", blind_index("13912345678", "phone"))
    lin.phone = None
    lin.save()
    lin.refresh_from_db()
    assert (lin.phone, lin.phone_index, lin.email) == (None, None, "lin@example.com")


@pytest.mark.django_db
def test_users_in_bulk_are_indexed_too(django_assert_num_queries):
    with django_assert_num_queries(1):
        User.objects.bulk_create([User.objects.build(phone=f"138000000{number:02d}") for number in range(20)])
    assert User.objects.filter(phone_index=blind_index("13800000007", "phone")).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("fields", [{"phone": "13812345678"}, {"email": "LIN@example.com"}])
def test_a_contact_belongs_to_one_user(fields):
    User.objects.create_user("lin", phone="13812345678", email="lin@example.com")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("wei", **fields)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "handle = '13812345678'",
        "handle = 'Lin'",
        "handle = 'l@x'",
        "language = 'fr'",
        "phone_index = NULL",
        "phone = NULL",
        "email_index = 'x', email = 'y'",
    ],
)
def test_the_database_refuses(change):
    User.objects.create_user("lin", phone="13812345678")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE accounts_user SET {change}")


@pytest.mark.django_db
def test_buyers_get_a_handle_that_says_nothing():
    handles = {User.objects.build(phone="13812345678").handle for _number in range(50)}
    assert len(handles) == 50
    assert all(handle.startswith("u") and "138" not in handle[:4] for handle in handles)


@pytest.mark.django_db
def test_createsuperuser(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long password of its own")
    call_command("createsuperuser", handle="ops", interactive=False, verbosity=0)
    ops = User.objects.get_by_natural_key("OPS")
    assert (ops.handle, ops.is_staff, ops.is_superuser) == ("ops", True, True)
    assert ops.check_password("a long password of its own")


@pytest.mark.django_db
def test_without_a_password_nobody_signs_in():
    assert not User.objects.create_user("lin").has_usable_password()


def a_withdrawal(*, account, name):
    from payments.withdrawal_models import Withdrawal

    return Withdrawal.objects.create(
        number="X0000000001",
        owner_kind="buyer",
        owner="1",
        account="buyer_cash:1:CNY",
        client_key="k",
        amount_minor=100,
        currency="CNY",
        channel="alipay",
        payee_kind="bank",
        payee_account=account,
        payee_name=name,
        payee_shown="6222****5702",
        requested_by="lin",
        created_at=timezone.now(),
    )


@pytest.mark.django_db
def test_every_sealed_column_is_resealed():
    """Also those of apps above this one, and of such as are yet to come."""
    assert {(model._meta.label, *names) for model, names in rotation.sealed_columns()} >= {
        ("accounts.User", "phone", "phone_index", "email", "email_index"),
        ("payments.Withdrawal", "payee_account", "payee_name"),
    }


@pytest.mark.django_db
def test_a_rotation_reaches_everybody(settings):
    settings.DATA_KEYS = ["0b" * 32]
    User.objects.create_user("lin", phone="13812345678", email="lin@example.com")
    User.objects.create_user("wei")
    paid_out = a_withdrawal(account="6222021001116245702", name="林一")
    settings.DATA_KEYS = ["0c" * 32, "0b" * 32]
    call_command("reseal_people", verbosity=0)
    settings.DATA_KEYS = ["0c" * 32]
    paid_out = type(paid_out).objects.get(pk=paid_out.pk)
    assert (paid_out.payee_account, paid_out.payee_name) == ("6222021001116245702", "林一")
    lin = User.objects.get(phone_index=blind_index("13812345678", "phone"))
    assert (lin.phone, lin.email) == ("13812345678", "lin@example.com")
