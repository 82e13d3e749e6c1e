"""
Yesterday's statements, fetched by themselves: every channel is asked for both kinds from ten in the morning on, until
the file is here or the channel has said, and we can believe it, that there is none. Each statement is one message of
the outbox: its attempts and last error are what staff see. It is asked for at growing distances and not for ever: what
is not here by then is a case at the desk, which somebody settles by asking again or by uploading the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import assert_never

from django.conf import settings
from django.db.models import Q

from payments import outbox
from payments.channels import registry
from payments.channels.bills import BillAbsent, BillChannel, BillLink, BillNotReady
from payments.channels.clock import BEIJING
from payments.channels.port import Declined, Unknown
from payments.models import OutboxMessage, Payment, Refund
from payments.statement_models import Statement, StatementKind, StatementSource
from payments.statements import load
from payments.statements.load import Wanted
from payments.statements.shape import Refused

KIND = "statement.fetch"
# Both channels write from nine and ask to be left alone until ten.
ASK_FROM = time(10, 5)
# How long after each try the next one is made; after the last one no more.
AGAIN = tuple(timedelta(minutes=m) for m in (5, 10, 10, 15, 30, 60, 60, 120, 240, 480, 720, 1440, 1440))
# When our own books have payments, "there is none" is not believed before this time of day.
BELIEVED_FROM = time(20, 0)


class NotFetched(outbox.TryAgain):
    """The channel refused, was silent, has nothing yet, or sent another file than it announced."""


class Spoilt(NotFetched):
    """The file came and is not what it must be; nothing of it is loaded."""


def plan(*, now: datetime) -> int:
    """Put a message for each statement that is not here; answer how many are missing. Repeatable."""
    missing = list(_missing(now))
    for channel, kind, day in missing:
        outbox.put(
            KIND,
            key=_key(channel, kind, day),
            payload={"channel": channel, "kind": kind, "day": day.isoformat()},
            due_at=_on_next_day(day, ASK_FROM),
            now=now,
        )
    return len(missing)


def merchants() -> dict[str, str]:
    """Who we are in each channel's files."""
    return {code: adapter.merchant for code, adapter in registry.with_bills().items()}


@outbox.handles(KIND)
def fetch(payload: dict[str, str], *, attempt: int, now: datetime) -> datetime | None:
    """
    Fetch and load one statement; answer when to look again.

    :raises NotFetched: see there; with the time of the next try, if there is to be one
    """
    channel, kind, day = payload["channel"], payload["kind"], date.fromisoformat(payload["day"])
    adapter = registry.with_bills().get(channel)
    known = load.current(channel=channel, kind=kind, day=day)
    if adapter is None or (known and known.is_whole):
        return None
    wanted = Wanted(day=day, channel=channel, kind=kind, merchants=merchants())
    again = now + AGAIN[attempt] if attempt < len(AGAIN) else None
    match adapter.ask_bill(kind=kind, day=day):
        case BillLink() as link:
            return _fetch(adapter, link, wanted, now=now, again=again)
        case BillNotReady(code):
            raise NotFetched(f"not ready: {code}", at=again)
        case BillAbsent(code):
            if not known:
                _nothing(wanted, code, now=now, again=again)
            return None
        case Declined(code, message):
            raise NotFetched(f"{code} {message}".strip(), at=again)
        case Unknown(reason):
            raise NotFetched(reason, at=again)
        case other:
            assert_never(other)


def not_here(*, limit: int) -> list[OutboxMessage]:
    """What was asked for and is not here, the latest day first; one that is done is not asked for any more."""
    asked = OutboxMessage.objects.filter(Q(done_at=None, attempts__gt=0) | ~Q(last_error=""), kind=KIND)
    here = {
        _key(one.channel, one.kind, one.day)
        for one in Statement.objects.filter(
            day__in={date.fromisoformat(day) for day in asked.values_list("payload__day", flat=True)},
            replaced_by=None,
        )
        if one.is_whole
    }
    return [message for message in asked.order_by("-key") if message.key not in here][:limit]


def _fetch(
    adapter: BillChannel, link: BillLink, wanted: Wanted, *, now: datetime, again: datetime | None
) -> datetime | None:
    with tempfile.TemporaryFile() as file:
        answer = adapter.download_bill(link, file)
        if isinstance(answer, Unknown):
            raise NotFetched(answer.reason, at=again)
        try:
            # Whoever uploaded half of the day was only quicker; the whole of it takes its place.
            half = load.current(channel=wanted.channel, kind=wanted.kind, day=wanted.day)
            replace = half is not None and not half.is_whole
            load.load(file, wanted=wanted, source=StatementSource.FETCHED, now=now, replace=replace)
        except Refused as error:
            if error.reason == "being_loaded":
                return now + AGAIN[0]
            if error.reason != "known_day":  # somebody was quicker by hand
                raise Spoilt(str(error), at=again) from error
    return None


def _nothing(wanted: Wanted, code: str, *, now: datetime, again: datetime | None) -> None:
    """Alipay says the same before the file is written and when there was nothing."""
    believed = _on_next_day(wanted.day, BELIEVED_FROM)
    if _has_own(wanted) and now < believed:
        raise NotFetched(f"none yet: {code}", at=min(again or believed, believed))
    load.load_nothing(wanted=wanted, now=now)


def _has_own(wanted: Wanted) -> bool:
    start = datetime.combine(wanted.day, time(), BEIJING)
    span = (start, start + timedelta(days=1) - timedelta(microseconds=1))
    return (
        Payment.objects.filter(channel=wanted.channel, paid_at__range=span).exists()
        or Refund.objects.filter(payment__channel=wanted.channel, refunded_at__range=span).exists()
    )


def _missing(now: datetime) -> Iterator[tuple[str, str, date]]:
    today = now.astimezone(BEIJING).date()
    days = [today - timedelta(days=back) for back in range(1, settings.STATEMENT_DAYS_BACK + 1)]
    loaded = Statement.objects.filter(day__in=days, replaced_by=None)
    here = {(each.channel, each.kind, each.day) for each in loaded if each.is_whole}
    for day in days:
        for channel in registry.with_bills():
            for kind in StatementKind.values:
                if (channel, kind, day) not in here:
                    yield channel, kind, day


def _key(channel: str, kind: str, day: date) -> str:
    return f"statement:{channel}:{kind}:{day.isoformat()}"


def _on_next_day(day: date, at: time) -> datetime:
    return datetime.combine(day + timedelta(days=1), at, BEIJING)
