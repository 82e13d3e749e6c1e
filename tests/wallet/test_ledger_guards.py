"""The ledger's guards: what the database refuses, whoever asks."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from payments import money
from payments.models import Payment
from payments.money import giving_back
from wallet import folding, ledger
from wallet.ledger import Entry, Line
from wallet.models import Account, AccountKind, Hold, HoldState, JournalEntry, Posting


@pytest.fixture
def lin(buyer):
    return buyer("lin", cash=10_000, bonus=500)


def cash(user):
    return money.buyer_cash(user.pk, "CNY")


def bonus(user):
    return money.buyer_bonus(user.pk, "CNY")


GUARANTEE = money.guarantee("CNY")


def pay(key, user, amount, at):
    lines = (Line(cash(user), -amount), Line(GUARANTEE, amount))
    return ledger.post(Entry(key, "payment", "K1", lines), at=at)


def test_the_same_key_books_once(lin, clock):
    assert pay("k", lin, 300, clock()) is True
    assert pay("k", lin, 300, clock()) is False
    assert ledger.balance(cash(lin)) == 9_700


def test_the_same_key_with_other_lines_is_refused_and_changes_nothing(lin, clock):
    pay("k", lin, 300, clock())
    with pytest.raises(ledger.KeyReused):
        pay("k", lin, 301, clock())
    assert ledger.balance(cash(lin)) == 9_700


def test_an_overdraft_is_refused_and_changes_nothing(lin, clock):
    with pytest.raises(ledger.InsufficientFunds):
        pay("k", lin, 10_001, clock())
    assert ledger.balance(cash(lin)) == 10_000
    assert not JournalEntry.objects.filter(key="k").exists()


def test_an_unbalanced_entry_is_refused(lin, clock):
    with pytest.raises(ledger.Unbalanced):
        ledger.post(Entry("k", "x", "", (Line(cash(lin), -5), Line(GUARANTEE, 4))), at=clock())


def test_an_entry_with_an_unknown_account_is_refused(lin, clock):
    with pytest.raises(ledger.Unbalanced):
        ledger.post(Entry("k", "x", "", (Line(cash(lin), -5), Line("nobody", 5))), at=clock())


@pytest.mark.parametrize(("source", "target"), [(bonus, cash), (cash, bonus)])
def test_bonus_and_cash_never_mix(lin, clock, source, target):
    with pytest.raises(IntegrityError, match="turns bonus into cash"):
        ledger.post(Entry("k", "x", "", (Line(source(lin), -5), Line(target(lin), 5))), at=clock())


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE wallet_posting SET amount_minor = amount_minor + 1",
        "DELETE FROM wallet_posting",
        "UPDATE wallet_journalentry SET memo = 'x'",
        "DELETE FROM wallet_journalentry",
        "UPDATE wallet_account SET balance_minor = balance_minor + 1 WHERE kind = 'buyer_cash'",
        "INSERT INTO wallet_account (code, kind, owner, currency, floor_minor, balance_minor, held_minor, created_at)"
        " VALUES ('gift', 'buyer_cash', '1', 'CNY', 0, 100, 0, now())",
    ],
)
def test_the_database_refuses_to_edit_the_books(lin, clock, sql):
    pay("k", lin, 300, clock())
    refused = pytest.raises(IntegrityError, match=r"append-only|by postings only|must open empty")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert ledger.balance(cash(lin)) == 9_700


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_to_empty_the_books(lin, clock):
    pay("k", lin, 300, clock())
    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute("TRUNCATE wallet_posting")
    assert ledger.balance(cash(lin)) == 9_700


def test_no_line_can_join_an_entry_later(lin, clock):
    pay("k", lin, 300, clock())
    entry = JournalEntry.objects.get(key="k")
    account = Account.objects.get(code=GUARANTEE)
    with pytest.raises(IntegrityError, match="has its postings already"), transaction.atomic():
        Posting.objects.bulk_create(
            [
                Posting(entry=entry, account=account, amount_minor=5),
                Posting(entry=entry, account=account, amount_minor=-5),
            ]
        )


def test_bonus_is_spent_first_and_comes_back_as_bonus(lin, clock):
    bought = Payment.objects.create(
        number="P1",
        purchase_kind="order",
        purchase_number="K1",
        buyer_id=lin.pk,
        channel="wallet",
        amount_minor=800,
        currency="CNY",
        subject="Tickets K1",
        created_at=clock(),
        expires_at=clock(),
    )
    with transaction.atomic():
        money.take_from_wallet(bought, credit=GUARANTEE, at=clock())
    assert (ledger.balance(bonus(lin)), ledger.balance(cash(lin))) == (0, 9_700)
    assert {line.account: line.amount_minor for line in giving_back._split_as_taken(bought, 800)} == {
        bonus(lin): 500,
        cash(lin): 300,
    }


def test_a_reversal_is_a_new_entry_and_happens_once(lin, clock):
    pay("k", lin, 300, clock())
    assert ledger.reverse("k", by="undo-k", at=clock()) is True
    assert ledger.balance(cash(lin)) == 10_000
    assert JournalEntry.objects.get(key="undo-k").reverses.key == "k"
    with pytest.raises(ledger.KeyReused):
        ledger.reverse("k", by="undo-k-again", at=clock())
    assert ledger.balance(cash(lin)) == 10_000


class TestHolds:
    def reserve(self, user, amount, clock, key="h"):
        return ledger.reserve(key=key, account=cash(user), amount_minor=amount, reference="K1", now=clock())

    def test_reserved_money_cannot_be_spent(self, lin, clock):
        self.reserve(lin, 9_900, clock)
        with pytest.raises(ledger.InsufficientFunds):
            pay("k", lin, 101, clock())
        assert pay("k", lin, 100, clock())

    def test_a_hold_is_captured_once(self, lin, clock):
        self.reserve(lin, 400, clock)
        entry = Entry("cap", "payment", "K1", (Line(cash(lin), -400), Line(GUARANTEE, 400)))
        for _ in range(2):
            ledger.capture(key="h", entry=entry, now=clock())
        assert ledger.balance(cash(lin)) == 9_600
        assert Account.objects.get(code=cash(lin)).held_minor == 0
        with pytest.raises(ledger.HoldEnded):
            ledger.release(key="h", now=clock())

    def test_a_released_hold_cannot_be_captured(self, lin, clock):
        self.reserve(lin, 400, clock)
        ledger.release(key="h", now=clock())
        ledger.release(key="h", now=clock())
        entry = Entry("cap", "payment", "K1", (Line(cash(lin), -400), Line(GUARANTEE, 400)))
        with pytest.raises(ledger.HoldEnded):
            ledger.capture(key="h", entry=entry, now=clock())
        assert Hold.objects.get(key="h").state == HoldState.RELEASED
        assert ledger.balance(cash(lin)) == 10_000

    def test_more_than_available_is_not_reserved(self, lin, clock):
        self.reserve(lin, 9_000, clock)
        with pytest.raises(ledger.InsufficientFunds):
            self.reserve(lin, 1_001, clock, key="h2")

    def test_the_same_key_reserves_once(self, lin, clock):
        self.reserve(lin, 400, clock)
        self.reserve(lin, 400, clock)
        assert Account.objects.get(code=cash(lin)).held_minor == 400
        with pytest.raises(ledger.KeyReused):
            self.reserve(lin, 401, clock)


@pytest.mark.django_db(transaction=True)
def test_folding_changes_no_balance_and_counts_late_commits(buyer, clock):
    lin = buyer("lin", cash=10_000)
    pay("k1", lin, 100, clock())
    assert folding.fold(now=clock()) > 0
    pay("k2", lin, 50, clock())
    assert ledger.balance(GUARANTEE) == 150
    folding.fold(now=clock())
    folding.fold(now=clock())
    assert ledger.balance(GUARANTEE) == 150
    assert folding.unfold() > 0
    assert ledger.balance(GUARANTEE) == 150


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_commits_after_the_fold_is_not_lost(buyer, clock):
    """The twin: an id-based fold would lose exactly this posting, whose id is lower than the fold's."""
    import threading

    lin, mei = buyer("lin", cash=10_000), buyer("mei", cash=10_000)
    posted, folded = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic():
            pay("slow", lin, 100, clock())
            posted.set()
            folded.wait(5)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    posted.wait(5)
    pay("fast", mei, 7, clock())
    folding.fold(now=clock())
    highest_folded = Posting.objects.get(entry__key="fast", account__code=GUARANTEE).pk
    folded.set()
    thread.join()
    assert Posting.objects.get(entry__key="slow", account__code=GUARANTEE).pk < highest_folded
    assert ledger.balance(GUARANTEE) == 107
    folding.fold(now=clock())
    assert ledger.balance(GUARANTEE) == 107


def test_hot_accounts_store_no_balance(lin, clock):
    pay("k", lin, 300, clock())
    assert Account.objects.get(code=GUARANTEE).balance_minor == 0
    assert Account.objects.get(kind=AccountKind.OPENING).balance_minor == 0
    assert ledger.balance(GUARANTEE) == 300
