"""Incidents in one process: real Postgres, the real sandbox, real threads; and ways to take a guard away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.channels.conftest import house, sandbox  # noqa: F401  (fixtures)
from tests.payments.conftest import Till, clock, pass_time, till  # noqa: F401  (fixtures)


@contextmanager
def without_constraint(model: Any, name: str) -> Iterator[None]:
    """Take a constraint out of the database; what violates it must be gone before it can come back."""
    from django.db import connection

    constraint = next(found for found in model._meta.constraints if found.name == name)
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            # Histories are append-only, also against TRUNCATE.
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(f'TRUNCATE "{model._meta.db_table}" CASCADE')
            cursor.execute("SET session_replication_role = DEFAULT")
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`unguarded("token", "lock")` takes these guards away until the test ends."""
    with ExitStack() as dropped:
        yield lambda *names: [GUARDS[name](monkeypatch, dropped) for name in names] and None


def _without_token(monkeypatch: pytest.MonkeyPatch, _dropped: ExitStack) -> None:
    from payments import checkout
    from risk import payment_tokens

    monkeypatch.setattr(payment_tokens, "burn", lambda **_: None)
    monkeypatch.setattr(payment_tokens, "burn_all", lambda *_, **__: {})
    monkeypatch.setattr(payment_tokens, "burned_for", lambda _nonce: "")
    # Looking for a payment in flight before making one saves work; two that look at once both see none.
    monkeypatch.setattr(checkout, "_wanted", lambda _kind, _number: None)


def _without_lock(monkeypatch: pytest.MonkeyPatch, _dropped: ExitStack) -> None:
    from ticketing import fulfil_many, orders
    from ticketing.models import Order

    monkeypatch.setattr(fulfil_many, "LOCK", fulfil_many.LOCK.replace("FOR NO KEY UPDATE", ""))
    monkeypatch.setattr(orders, "lock_order", lambda number: Order.objects.get(number=number))


def _without_election(monkeypatch: pytest.MonkeyPatch, _dropped: ExitStack) -> None:
    """Neither asks whether the order has a winner, nor moves it by compare-and-set: whoever comes has paid."""
    from payments import money
    from payments.purchases import Won
    from ticketing.fulfil import OrderHandler
    from ticketing.fulfil_many import OrderBatchHandler
    from ticketing.models import Order, OrderState

    def settle_all(_self: Any, winners: Any, *, now: Any) -> None:
        for winner in winners:
            Order.objects.filter(pk=winner.purchase.pk).update(state=OrderState.PAID, winner=winner.payment)

    monkeypatch.setattr(OrderBatchHandler, "settle_all", settle_all)

    def settle(_self: Any, order: Any, *, payment_number: str, now: Any) -> Won:
        Order.objects.filter(pk=order.pk).update(state=OrderState.PAID, winner=payment_number)
        return Won(money.guarantee(order.currency))

    monkeypatch.setattr(OrderHandler, "settle", settle)


def _without_index(_monkeypatch: pytest.MonkeyPatch, dropped: ExitStack) -> None:
    from payments.models import Payment

    dropped.enter_context(without_constraint(Payment, "payments_payment_one_winner"))


GUARDS = {
    "token": _without_token,
    "lock": _without_lock,
    "election": _without_election,
    "index": _without_index,
}
