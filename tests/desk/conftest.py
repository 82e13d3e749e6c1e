"""A night at the desk: the sale of tests/payments, staff with their roles, and a short way to a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from accounts.models import User
from desk import approve, coordinate, detect, resolve
from desk.models import Case, CaseState, Resolution, ResolutionRequest
from desk.preview import Preview
from desk.trail import Person
from operations import audit
from tests.channels.conftest import house, sandbox  # noqa: F401  (fixtures)
from tests.conftest import Clock
from tests.payments.conftest import Till, clock, pass_time, till  # noqa: F401  (fixtures)

QUEUES = ("resolve_operations", "resolve_finance", "resolve_risk")


@dataclass
class Desk:
    """What staff do, in a few words. `mei` resolves, `bo` resolves and approves, `root` is a superuser."""

    clock: Clock
    people: dict[str, User]
    work: Callable[[], int]  # drains the outbox, as the workers would

    def person(self, who: str) -> Person:
        return Person(
            User.objects.get(pk=self.people[who].pk), "10.0.0.9"
        )  # permissions are cached on a user

    def look(self, kind: str = "") -> list[Case]:
        """What the coordinator finds, without what it would resolve alone."""
        detect.run(now=self.clock())
        found = Case.objects.filter(closed_at=None)
        return list((found.filter(kind=kind) if kind else found).order_by("pk"))

    def one(self, kind: str) -> Case:
        found = self.look(kind)
        assert len(found) == 1, [
            f"{case.kind} {case.subject}" for case in Case.objects.filter(closed_at=None)
        ]
        return found[0]

    def round(self) -> coordinate.Round:
        return coordinate.run(now=self.clock())

    def preview(self, case: Case, way: str, **inputs: str) -> Preview:
        return resolve.preview(case_number=case.number, resolution=way, inputs=inputs, now=self.clock())

    def given(self, case: Case, shown: Preview, who: str, **changes: Any) -> dict[str, Any]:
        return {
            "case_number": case.number,
            "resolution": shown.resolution,
            "inputs": shown.inputs,
            "fingerprint": shown.fingerprint,
            "reason": "as the channel's papers say",
            "by": self.person(who),
            "key": f"k{self.clock().timestamp()}",
            "now": self.clock(),
            "typed_minor": shown.amount_minor,
        } | changes

    def resolve(self, case: Case, way: str, who: str = "mei", **inputs: str) -> Resolution:
        """Preview and do it; with two people if it takes two."""
        shown = self.preview(case, way, **inputs)
        if not shown.needs_two:
            return resolve.execute(**self.given(case, shown, who))
        asked = self.ask(case, shown, who)
        return approve.approve(request_id=asked.pk, by=self.person("bo"), reason="seen", now=self.clock())

    def ask(self, case: Case, shown: Preview, who: str = "mei", **changes: Any) -> ResolutionRequest:
        return approve.request(**self.given(case, shown, who, **changes))

    def state(self, case: Case) -> str:
        return Case.objects.get(pk=case.pk).state

    def audit_is_clean(self) -> None:
        results = audit.audit(now=self.clock())
        assert [(r.check.name, r.violations) for r in results if not r.ok] == []

    def ends_clean(self, case: Case, state: str = CaseState.RESOLVED) -> None:
        """The case is closed by what was done, nothing else is open, and every invariant holds."""
        self.work()
        detect.run(now=self.clock())
        assert self.state(case) == state
        assert list(Case.objects.filter(closed_at=None).values_list("kind", "subject")) == []
        self.audit_is_clean()


@pytest.fixture
def desk(db: None, clock: Clock, settle_outbox: Callable[[], int]) -> Desk:  # noqa: F811
    people = {name: User.objects.create_user(name, is_staff=True) for name in ("mei", "bo", "guest")}
    people["root"] = User.objects.create_superuser("root")
    rights = {"mei": QUEUES, "bo": (*QUEUES, "approve_resolution"), "guest": ()}
    for name, codes in rights.items():
        people[name].user_permissions.set(
            Permission.objects.filter(content_type__app_label="desk", codename__in=codes)
        )
    return Desk(clock, people, settle_outbox)


@pytest.fixture
def paid(till: Till, buyer: Callable[..., Any], settle_outbox: Callable[[], int]) -> Callable[..., Any]:  # noqa: F811
    """An order that is paid at a channel, and its payment."""

    def make(handle: str = "lin", channel: str = "alipay", **more: Any) -> Any:
        order = till.order(buyer(handle), **more)
        payment = till.press(order, channel)
        till.pay_at_channel(payment)
        till.notify(payment)
        settle_outbox()
        order.refresh_from_db()
        payment.refresh_from_db()
        assert order.state == "paid"
        return order, payment

    return make
