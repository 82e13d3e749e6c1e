"""Several decide about one request in the same moment: one of them does, the others are told, money moves once."""

from __future__ import annotations

import pytest

from accounts.models import User
from desk import approve
from desk.models import CaseState, RequestState, Resolution, TrailEntry
from desk.trail import Person
from tests.desk.test_two_people import asked, in_suspense, slip  # noqa: F401  (fixtures)
from tests.races.crowd import at_once, count, errors

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def checkers(desk):
    return [Person(User.objects.create_superuser(f"checker{number}")) for number in range(6)]


def test_one_of_many_approvals_counts(asked, slip, desk, checkers):  # noqa: F811
    now = desk.clock()
    works = [
        lambda who=who: approve.approve(request_id=asked.pk, by=who, reason="seen", now=now)
        for who in checkers
    ]
    outcomes = at_once(works)
    assert errors(outcomes, approve.NotWaiting) == []
    assert (count(outcomes, Resolution), Resolution.objects.count()) == (1, 1)
    assert TrailEntry.objects.filter(action="approved").count() == 1
    assert in_suspense() == 0
    desk.ends_clean(slip)


def test_the_same_approval_from_two_tabs_is_done_once(asked, desk):  # noqa: F811
    now, bo = desk.clock(), desk.person("bo")
    works = [lambda: approve.approve(request_id=asked.pk, by=bo, reason="seen", now=now)] * 4
    outcomes = at_once(works)
    assert errors(outcomes, approve.NotWaiting) == []
    assert Resolution.objects.count() == 1
    assert in_suspense() == 0


def test_approved_rejected_or_withdrawn_but_only_one_of_them(asked, slip, desk, checkers):  # noqa: F811
    now, mei = desk.clock(), desk.person("mei")
    outcomes = at_once(
        [
            lambda: approve.approve(request_id=asked.pk, by=checkers[0], reason="seen", now=now),
            lambda: approve.reject(request_id=asked.pk, by=checkers[1], reason="not so", now=now),
            lambda: approve.withdraw(request_id=asked.pk, by=mei, now=now),
        ]
    )
    assert errors(outcomes, approve.NotWaiting) == []
    assert count(outcomes, approve.NotWaiting) == 2
    asked.refresh_from_db()
    done = asked.state == RequestState.APPROVED
    assert (in_suspense(), Resolution.objects.count()) == ((0, 1) if done else (500, 0))
    assert desk.state(slip) == (CaseState.ACTED if done else CaseState.OPEN)
