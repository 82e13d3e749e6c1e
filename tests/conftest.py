"""What every test stands on: real Postgres and Valkey, a small hall, and a cast of buyers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from operations import devservices

T0 = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # noon in Shanghai


@pytest.fixture(scope="session", autouse=True)
def _services() -> Iterator[None]:
    if not os.environ.get("DATABASE_URL"):
        devservices.up()
    yield
    if os.environ.get("PYTEST_XDIST_WORKER") and not os.environ.get("DATABASE_URL"):
        from django.db import connections

        connections.close_all()
        devservices.down()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(_services: None, django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Postgres must run before pytest-django makes the test database, one for each of those that run side by side."""


@pytest.fixture(scope="session", autouse=True)
def _emptied_histories() -> Iterator[None]:
    """Append-only tables refuse TRUNCATE too; between tests that really commit, they must be emptied all the same."""
    from django.db.backends.postgresql.operations import DatabaseOperations

    flush = DatabaseOperations.execute_sql_flush

    def without_triggers(self: DatabaseOperations, statements: list[str]) -> None:
        flush(self, ["SET LOCAL session_replication_role = replica", *statements])

    DatabaseOperations.execute_sql_flush = without_triggers
    yield
    DatabaseOperations.execute_sql_flush = flush


@pytest.fixture(autouse=True)
def _quiet_queue(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unit tests drain the outbox themselves; nothing goes to a broker."""
    from payments import outbox

    kept = list(outbox._nudges)
    outbox._nudges.clear()
    yield
    outbox._nudges[:] = kept


@pytest.fixture(autouse=True)
def _nothing_set_at_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty policy that is not looked up, so that queries can be counted; tests/risk sets policies of its own."""
    from risk import policy

    monkeypatch.setattr(policy, "LOOK_EVERY_S", 1e9)
    monkeypatch.setattr(policy, "_held", policy._Held())
    from payments import entry

    entry.settings_held.pin({})
    from ticketing import admission

    admission.in_front.pin({})
    policy._held.policy, policy._held.looked_at = policy.Policy(0), 1e18


@pytest.fixture(autouse=True)
def _clean_redis() -> Iterator[None]:
    from basis import fast

    yield
    try:
        fast.store().flushdb()
    except fast.FastStoreAway:
        fast.store.cache_clear()


@dataclass
class Clock:
    """The test's own time."""

    now: datetime = T0
    step: timedelta = field(default=timedelta(milliseconds=1))

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def show(db: None, clock: Clock):  # type: ignore[no-untyped-def]
    """The sample show with one row a section: 49 rows, six tiers."""
    from ticketing import sample

    return sample.make_show(code="small", now=clock(), rows_per_section=1)


@pytest.fixture
def buyer(db: None, clock: Clock) -> Callable[..., object]:
    """`buyer("lin", cash=100_000)`: a buyer with that many fen in the wallet."""
    from accounts.models import User
    from payments import money
    from wallet.ledger import Entry, Line, account_code, post
    from wallet.models import AccountKind

    def make(handle: str, cash: int = 0, bonus: int = 0) -> User:
        user = User.objects.filter(handle=handle).first() or User.objects.create_user(
            handle, "a long enough password"
        )
        now = clock()
        money.open_system_accounts(channels=["wallet", "alipay", "wechat"], currency="CNY", now=now)
        money.open_buyer_accounts([user.pk], currency="CNY", now=now)
        opening = account_code(AccountKind.OPENING)
        promotion = account_code(AccountKind.PROMOTION)
        if cash:
            lines = (Line(opening, -cash), Line(money.buyer_cash(user.pk, "CNY"), cash))
            post(Entry(f"open:{user.pk}:{now.timestamp()}", "opening", "", lines), at=now)
        if bonus:
            lines = (Line(promotion, -bonus), Line(money.buyer_bonus(user.pk, "CNY"), bonus))
            post(Entry(f"bonus:{user.pk}:{now.timestamp()}", "red_packet", "", lines), at=now)
        return user

    return make


@pytest.fixture
def settle_outbox(clock: Clock) -> Callable[[], int]:
    """Drain every due message of both lanes, as the workers would."""
    from payments import outbox

    def drain() -> int:
        handled = 0
        for _ in range(50):
            done = sum(outbox.drain(clock=clock, lane=lane) for lane in (outbox.NOTIFY, outbox.COMPENSATE))
            handled += done
            if not done:
                return handled
        raise AssertionError("the outbox does not come to rest")

    return drain
