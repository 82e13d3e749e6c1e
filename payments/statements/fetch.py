"""
Yesterday's statements, fetched by themselves: every channel is asked for both kinds from ten in the morning on, until
the file is here or the channel has said, and we can believe it, that there is none. Each statement is one message of
the outbox: its attempts and last error are what staff see.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from django.conf import settings

from payments import outbox
from payments.channels import registry
from payments.channels.bills import BillAbsent, BillChannel, BillLink, BillNotReady
from payments.channels.port import Declined, Unknown
from payments.models import Payment, Refund
from payments.statement_models import Statement, StatementKind, StatementSource
from payments.statements import load
from payments.statements.load import Wanted
from payments.statements.shape import Refused

SHANGHAI = ZoneInfo("Asia/Shanghai")
# Both channels write from nine and ask to be left alone until ten.
ASK_FROM = time(10, 5)
AGAIN = timedelta(minutes=10)
# When our own books have payments, "there is none" is not believed before this time of day.
BELIEVED_FROM = time(20, 0)


class NotFetched(Exception):
    """The channel refused, was silent, or sent another file than it announced. It is asked again."""


def plan(*, now: datetime) -> int:
    """Put a message for each statement that is not here; answer how many are missing. Repeatable."""
    missing = list(_missing(now))
    for channel, kind, day in missing:
        outbox.put(
            "statement.fetch",
            key=f"statement:{channel}:{kind}:{day.isoformat()}",
            payload={"channel": channel, "kind": kind, "day": day.isoformat()},
            due_at=_on_next_day(day, ASK_FROM),
            now=now,
        )
    return len(missing)


def merchants() -> dict[str, str]:
    """Who we are in each channel's files."""
    return {code: adapter.merchant for code, adapter in registry.with_bills().items()}


@outbox.handles("statement.fetch")
def fetch(payload: dict[str, str], *, attempt: int, now: datetime) -> datetime | None:
    """
    Fetch and load one statement; answer when to look again.

    :raises NotFetched: see there
    :raises Refused: the file is not what it must be; the next attempt asks for a new one
    """
    channel, kind, day = payload["channel"], payload["kind"], date.fromisoformat(payload["day"])
    adapter = registry.with_bills().get(channel)
    known = load.current(channel=channel, kind=kind, day=day)
    if adapter is None or (known and known.is_whole):
        return None
    wanted = Wanted(day=day, channel=channel, kind=kind, merchants=merchants())
    match adapter.ask_bill(kind=kind, day=day):
        case BillLink() as link:
            return _fetch(adapter, link, wanted, now)
        case BillNotReady():
            return now + AGAIN
        case BillAbsent():
            return None if known else _nothing(wanted, now)
        case Declined(code, message):
            raise NotFetched(f"{code} {message}".strip())
        case Unknown(reason):
            raise NotFetched(reason)
        case other:
            assert_never(other)


def _fetch(adapter: BillChannel, link: BillLink, wanted: Wanted, now: datetime) -> datetime | None:
    with tempfile.TemporaryFile() as file:
        answer = adapter.download_bill(link, file)
        if isinstance(answer, Unknown):
            raise NotFetched(answer.reason)
        try:
            # Whoever uploaded half of the day was only quicker; the whole of it takes its place.
            half = load.current(channel=wanted.channel, kind=wanted.kind, day=wanted.day)
            replace = half is not None and not half.is_whole
            load.load(file, wanted=wanted, source=StatementSource.FETCHED, now=now, replace=replace)
        except Refused as error:
            if error.reason == "being_loaded":
                return now + AGAIN
            if error.reason != "known_day":  # somebody was quicker by hand
                raise
    return None


def _nothing(wanted: Wanted, now: datetime) -> datetime | None:
    """Alipay says the same before the file is written and when there was nothing."""
    if _has_own(wanted) and now < _on_next_day(wanted.day, BELIEVED_FROM):
        return now + AGAIN
    load.load_nothing(wanted=wanted, now=now)
    return None


def _has_own(wanted: Wanted) -> bool:
    start = datetime.combine(wanted.day, time(), SHANGHAI)
    span = (start, start + timedelta(days=1) - timedelta(microseconds=1))
    return (
        Payment.objects.filter(channel=wanted.channel, paid_at__range=span).exists()
        or Refund.objects.filter(payment__channel=wanted.channel, refunded_at__range=span).exists()
    )


def _missing(now: datetime) -> Iterator[tuple[str, str, date]]:
    today = now.astimezone(SHANGHAI).date()
    days = [today - timedelta(days=back) for back in range(1, settings.STATEMENT_DAYS_BACK + 1)]
    loaded = Statement.objects.filter(day__in=days, replaced_by=None)
    here = {(each.channel, each.kind, each.day) for each in loaded if each.is_whole}
    for day in days:
        for channel in registry.with_bills():
            for kind in StatementKind.values:
                if (channel, kind, day) not in here:
                    yield channel, kind, day


def _on_next_day(day: date, at: time) -> datetime:
    return datetime.combine(day + timedelta(days=1), at, SHANGHAI)
