"""Prepared statements: once a connection, whatever the values; and the same answers without them."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from accounts.models import ApiToken, User
from accounts.tokens import issue_token
from basis import prepared
from basis.built import Built
from payments import checkout
from ticketing import orders
from ticketing.models import PriceTier, SeatState

pytestmark = pytest.mark.django_db

DOUBLE = "SELECT %s::bigint * 2 AS doubled_here"


def known(mark):
    """How many statements with this text Postgres keeps for the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", [f"%{mark}%"])
        return cursor.fetchone()[0]


def test_a_statement_is_prepared_once_whatever_the_size_of_its_numbers():
    assert [prepared.rows(DOUBLE, [n]) for n in (1, 70_000, 2**40)] == [[(2,)], [(140_000,)], [(2**41,)]]
    assert known("doubled_here") == 1


def test_named_values_and_an_answer_without_rows():
    assert prepared.row("SELECT %(b)s::text || %(a)s::text", {"a": "x", "b": "y"}) == ("yx",)
    assert prepared.row("SELECT 1 WHERE %(a)s::bool", {"a": False}) is None


def test_it_is_prepared_again_after_a_rollback():
    with transaction.atomic():
        prepared.rows(DOUBLE, [1])
        transaction.set_rollback(True)
    assert prepared.rows(DOUBLE, [4]) == [(8,)]


def test_what_is_built_is_what_the_orm_makes(buyer, clock):
    lin = buyer("lin")
    token, _secret = issue_token(user=lin, name="till", scopes=["orders:read"], now=clock())
    shape = Built(ApiToken, alias="t")
    (row,) = prepared.rows(f"SELECT {shape.columns} FROM accounts_apitoken t WHERE id = %s", [token.pk])
    built, known_to_orm = shape.of(row), ApiToken.objects.get(pk=token.pk)
    assert {name: getattr(built, name) for name in shape.names} == {
        name: getattr(known_to_orm, name) for name in shape.names
    }
    built.name = "gate"
    built.save(update_fields=["name"])
    assert ApiToken.objects.get(pk=token.pk).name == "gate"


def test_a_closed_column_is_asked_for_when_it_is_needed(buyer):
    lin = buyer("lin")
    shape = Built(User, alias="u", closed={"phone"})
    (row,) = prepared.rows(f"SELECT {shape.columns} FROM accounts_user u WHERE id = %s", [lin.pk])
    assert "phone" in shape.of(row).get_deferred_fields()
    assert shape.of(row).phone == lin.phone


@pytest.mark.parametrize("is_prepared", [True, False])
def test_an_order_goes_the_same_way_where_nothing_may_be_prepared(is_prepared, show, buyer, clock, settings):
    settings.DATABASE_PREPARED = is_prepared
    lin = buyer("lin", cash=500_000)
    tier = PriceTier.objects.get(show=show, code="UPPER")
    order = orders.place_order(buyer=lin, client_key="k", tier_id=tier.pk, quantity=2, now=clock())
    given = {"kind": "order", "number": order.number, "buyer_id": lin.pk, "now": clock()}
    payment = checkout.pay(channel="wallet", token=checkout.offer(**given).token, return_url="", **given)
    order.refresh_from_db()
    assert (payment.outcome, order.winner, order.state) == ("won", payment.number, "paid")
    assert {seat.state for seat in order.held_seats.all()} == {SeatState.SOLD}
    assert (known("WITH placed AS") > 0) == is_prepared
