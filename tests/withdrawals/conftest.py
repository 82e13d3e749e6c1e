"""A channel that pays out, by script; buyers with money."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from payments import withdrawals
from payments.channels import registry
from payments.channels.payouts import Transfer, TransferAbsent, TransferDone
from payments.withdrawal_models import Owner, Withdrawal
from payments.withdrawals import Payee

ALIPAY = Payee("alipay", "13812345678", "林薇")
CARD = Payee("bank", "6222020000001234", "林薇")


@dataclass
class Paymaster:
    """Plays the channel at the port: it pays each number once, and fails as the test wrote down."""

    clock: Any
    paid: dict[str, Transfer] = field(default_factory=dict)
    sends: list[str] = field(default_factory=list)
    send_answers: list[Any] = field(default_factory=list)  # used up first
    ask_answers: list[Any] = field(default_factory=list)

    def send(self, transfer: Transfer) -> Any:
        self.sends.append(transfer.number)
        if self.send_answers:
            answer = self.send_answers.pop(0)
            if answer == "silent after":
                self.paid[transfer.number] = transfer
                from payments.channels.port import Unknown

                return Unknown("timeout")
            return answer
        self.paid[transfer.number] = transfer
        return self._done(transfer)

    def ask(self, transfer: Transfer) -> Any:
        if self.ask_answers:
            return self.ask_answers.pop(0)
        return self._done(transfer) if transfer.number in self.paid else TransferAbsent()

    def _done(self, transfer: Transfer) -> TransferDone:
        return TransferDone(f"a{transfer.number}", transfer.amount_minor, self.clock())


@pytest.fixture
def paymaster(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Paymaster:
    played = Paymaster(clock)
    monkeypatch.setattr(registry, "payouts", lambda: {"alipay": played})
    return played


@dataclass
class Desk:
    """What owners ask for, in a few words."""

    clock: Any

    def buyer(self, user: Any, amount: int = 5_000, key: str = "k", payee: Payee = ALIPAY) -> Withdrawal:
        return self.ask(Owner.BUYER, str(user.pk), amount, key, payee, f"buyer:{user.pk}")

    def merchant(self, code: str, amount: int, key: str = "k", actor: str = "mei") -> Withdrawal:
        return self.ask(Owner.MERCHANT, code, amount, key, CARD, actor)

    def ask(self, kind: str, owner: str, amount: int, key: str, payee: Payee, actor: str) -> Withdrawal:
        return withdrawals.request(
            owner_kind=kind,
            owner=owner,
            payee=payee,
            amount_minor=amount,
            client_key=key,
            actor=actor,
            now=self.clock(),
        )


@pytest.fixture
def out(clock: Any) -> Desk:
    return Desk(clock)
