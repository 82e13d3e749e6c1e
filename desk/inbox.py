"""
The inbox: the cases that wait for somebody, by what the staff look for, the most urgent first.

A page costs the same with a thousand cases as with a hundred thousand: every order that it offers by default is an
index of the cases that are open. The sums over all of them are taken by a job (desk.tasks.sum_inbox) and kept in one
row; a page reads it. What a person does at the desk is added to it at once (`counted_again`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet, Sum

from desk.models import ACTIVE_STATES, INBOX_STATES, Case, CaseState, InboxSums

PAGE = 50
SUMS = 1
"""The key of the row of sums."""
SUMS_ARE_OLD = timedelta(minutes=2)
"""A dozen rounds of the job were missed: a page says as of when its sums are."""

MINE, NOBODYS = "me", "none"
WAITING, APPROVAL, WATCHED, CLOSED = "", "approval", "acted", "closed"
STATES: Mapping[str, tuple[str, ...]] = {
    WAITING: INBOX_STATES,
    APPROVAL: (CaseState.APPROVAL,),
    WATCHED: (CaseState.ACTED,),
    CLOSED: (CaseState.RESOLVED, CaseState.GONE, CaseState.EXPLAINED),
}
URGENT = ""
ORDERS: Mapping[str, tuple[str, ...]] = {
    URGENT: ("-weight", "id"),
    "due": ("due_at", "id"),
    "oldest": ("since", "id"),
    "money": ("-amount_minor", "id"),
    "newest": ("-id",),
}
# The age limit is near when this share of the time between the cause and the limit is left.
NEAR_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Filters:
    """What somebody looks for. Empty: no matter. `owner` is `me`, `none` or a key; `text` is a number of anything."""

    kind: str = ""
    queue: str = ""
    channel: str = ""
    owner: str = ""
    state: str = WAITING
    late: str = ""
    order: str = URGENT
    text: str = ""

    @classmethod
    def read(cls, sent: Mapping[str, str]) -> Filters:
        """The filters of a query string or a saved view; what is not known is as if it were not there."""
        known = {one.name: str(sent.get(one.name, ""))[:96].strip() for one in fields(cls)}
        if known["state"] not in STATES:
            known["state"] = WAITING
        if known["order"] not in ORDERS:
            known["order"] = URGENT
        if not known["owner"].isdecimal() and known["owner"] not in (MINE, NOBODYS):
            known["owner"] = ""
        known["late"] = "1" if known["late"] else ""
        return cls(**known)

    def query(self, **changed: str) -> dict[str, str]:
        """What an address carries to say the same."""
        return {name: value for name, value in (asdict(self) | changed).items() if value}


@dataclass(frozen=True, slots=True)
class Summary:
    """
    Sums over all cases that wait, as they were at `taken_at`. `at_risk` is by currency; the counts are by what they are
    named after.
    """

    count: int = 0
    late: int = 0
    unowned: int = 0
    oldest: datetime | None = None
    at_risk: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)
    taken_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        kept = asdict(self) | {"oldest": self.oldest.isoformat() if self.oldest else None}
        del kept["taken_at"]
        return kept

    @classmethod
    def read(cls, row: InboxSums) -> Summary:
        oldest = row.sums.get("oldest")
        known = row.sums | {"oldest": datetime.fromisoformat(oldest) if oldest else None}
        return cls(**known, taken_at=row.taken_at)

    def changed(self, before: Summary, after: Summary) -> Summary:
        """These sums, after some cases that were `before` are `after`. The oldest is known anew at the next round."""
        changes: dict[str, Any] = {
            name: getattr(self, name) + getattr(after, name) - getattr(before, name) for name in COUNTED
        }
        for name in COUNTED_BY:
            sums = Counter(getattr(self, name))
            sums.update(getattr(after, name))
            sums.subtract(getattr(before, name))
            changes[name] = {what: number for what, number in sums.items() if number}
        return replace(self, **changes)


COUNTED = ("count", "late", "unowned")
COUNTED_BY = ("at_risk", "kinds", "queues", "channels")


def matching(filters: Filters, *, viewer_id: int, now: datetime) -> QuerySet[Case]:
    """The cases that `filters` let through, in their order."""
    found = Case.objects.filter(state__in=STATES[filters.state])
    for name in ("kind", "queue", "channel"):
        if value := getattr(filters, name):
            found = found.filter(**{name: value})
    if filters.owner == NOBODYS:
        found = found.filter(owner=None)
    elif filters.owner:
        found = found.filter(owner_id=viewer_id if filters.owner == MINE else int(filters.owner))
    if filters.late:
        found = found.filter(due_at__lt=now)
    if filters.text:
        found = found.filter(_named(filters.text))
    return found.select_related("owner").order_by(*ORDERS[filters.order])


def _named(text: str) -> Q:
    number = text.upper()
    return (
        Q(number=number)
        | Q(purchase_number=number)
        | Q(payment_number=number)
        | Q(subject__in={text, number})
    )


def after(case: Case, order: str) -> Q:
    """The cases that stand after this one in an order, as a range of its index from here on."""
    return _beyond(case, ORDERS[order])


def before(case: Case, order: str) -> Q:
    """The cases that stand before this one."""
    return _beyond(case, backwards(order))


def backwards(order: str) -> tuple[str, ...]:
    return tuple(name[1:] if name.startswith("-") else f"-{name}" for name in ORDERS[order])


def _beyond(case: Case, names: tuple[str, ...]) -> Q:
    """Beyond this case by the first name, or level with it and beyond by the rest."""
    first, *rest = names
    name = first.removeprefix("-")
    value, than = getattr(case, name), "lt" if first.startswith("-") else "gt"
    if not rest:
        return Q(**{f"{name}__{than}": value})
    # The first name alone bounds the index's scan, wherever in a long inbox the case stands.
    level = Q(**{name: value}) & _beyond(case, tuple(rest))
    return Q(**{f"{name}__{than}e": value}) & (Q(**{f"{name}__{than}": value}) | level)


def page_of(found: QuerySet[Case], *, page: int) -> tuple[list[Case], bool]:
    """One page of cases, counted from 1, and whether there are more: nothing is counted to the end."""
    start = (page - 1) * PAGE
    rows = list(found[start : start + PAGE + 1])
    return rows[:PAGE], len(rows) > PAGE


def summary(*, now: datetime) -> Summary:
    """The sums as they were last taken; a page takes them itself only where nobody ever did."""
    kept = InboxSums.objects.filter(pk=SUMS).first()
    return refresh_summary(now=now) if kept is None else Summary.read(kept)


def refresh_summary(*, now: datetime) -> Summary:
    """Take the sums, and keep them for the pages."""
    sums = replace(take_summary(now=now), taken_at=now)
    InboxSums.objects.update_or_create(pk=SUMS, defaults={"sums": sums.as_json(), "taken_at": now})
    return sums


@contextmanager
def counted_again(case_ids: Iterable[int], *, now: datetime) -> Iterator[None]:
    """Whoever moves cases wants to see it in the sums: what is done within changes them by these cases alone."""
    only = list(case_ids)
    before = take_summary(now=now, only=only)
    yield
    after = take_summary(now=now, only=only)
    if before == after:
        return
    with transaction.atomic():
        kept = InboxSums.objects.select_for_update(no_key=True).filter(pk=SUMS).first()
        if kept is not None:
            sums = Summary.read(kept).changed(before, after)
            InboxSums.objects.filter(pk=SUMS).update(sums=sums.as_json())


def take_summary(*, now: datetime, only: Iterable[int] | None = None) -> Summary:
    """The sums as they are, of all cases or `only` these, in one query."""
    waiting = Case.objects.filter(state__in=INBOX_STATES)
    groups = (
        (waiting if only is None else waiting.filter(pk__in=only))
        .order_by()
        .values("kind", "queue", "channel", "currency")
        .annotate(
            cases=Count("pk"),
            money=Sum("amount_minor"),
            oldest=Min("since"),
            late=Count("pk", filter=Q(due_at__lt=now)),
            unowned=Count("pk", filter=Q(owner=None)),
        )
    )
    return _summed(list(groups))


def _summed(groups: Iterable[Mapping[str, Any]]) -> Summary:
    money: Counter[str] = Counter()
    by: dict[str, Counter[str]] = {"kind": Counter(), "queue": Counter(), "channel": Counter()}
    for group in groups:
        money[group["currency"]] += group["money"]
        for name, counter in by.items():
            counter[group[name]] += group["cases"]
    return Summary(
        count=sum(group["cases"] for group in groups),
        late=sum(group["late"] for group in groups),
        unowned=sum(group["unowned"] for group in groups),
        oldest=min((group["oldest"] for group in groups), default=None),
        at_risk={currency: minor for currency, minor in money.items() if minor},
        kinds=dict(by["kind"]),
        queues=dict(by["queue"]),
        channels=dict(by["channel"]),
    )


def related(case: Case, *, limit: int = 8) -> list[Case]:
    """Other cases about the same payment or purchase, those that are open first."""
    same = Q(subject=case.subject)
    if case.payment_number:
        same |= Q(payment_number=case.payment_number)
    if case.purchase_number:
        same |= Q(purchase_number=case.purchase_number)
    found = Case.objects.filter(same).exclude(pk=case.pk).select_related("owner").order_by("-id")[:limit]
    return sorted(found, key=lambda other: other.state not in ACTIVE_STATES)


def urgency(case: Case, *, now: datetime) -> str:
    """`late` past the age limit, `soon` when a quarter of it is left, else `fine`; a closed case is `done`."""
    if not case.active:
        return "done"
    if now >= case.due_at:
        return "late"
    left: timedelta = case.due_at - now
    return "soon" if left <= (case.due_at - case.since) * NEAR_SHARE else "fine"
