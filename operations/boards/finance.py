"""The money: what each channel took and gave back, its fees, what is unsettled, and where we disagree."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from desk import inbox
from operations.boards import links
from operations.boards.finance_facts import FinanceFacts, Sum, gather
from operations.boards.shape import (
    BAD,
    LOOK,
    LOST,
    OTHER,
    PLACED,
    TAKEN,
    Board,
    Cell,
    Chart,
    Choice,
    Figure,
    Panel,
    Series,
    Table,
    money,
    number,
)
from operations.boards.sharing import shared
from payments.models import ChannelCode, RefundState
from payments.reconcile_models import Klass
from wallet.models import AccountKind

PERIODS: dict[str, Any] = {
    "today": gettext_lazy("today"),
    "yesterday": gettext_lazy("yesterday"),
    "7d": gettext_lazy("last 7 days"),
    "30d": gettext_lazy("last 30 days"),
}
DAYS_SHOWN = 14
EVERY_S = 15
LATE = timedelta(hours=1)
PAYMENTS, REFUNDS, ACCOUNTS = "payments_payment", "payments_refund", "wallet_account"
COLOURS = {ChannelCode.ALIPAY: PLACED, ChannelCode.WECHAT: TAKEN, ChannelCode.WALLET: OTHER}
HOME = "CNY"
ON_THEIR_WAY = ",".join(state for state in RefundState.values if state != RefundState.SUCCEEDED)
# The lines that fees are summed from: of statements of payments that no later one replaced.
FEES = {"statement__kind__exact": "trade", "statement__replaced_by__isnull": 1}


def board(*, period: str, now: datetime) -> Board:
    """The money of a period, and what is open now."""
    since, until = bounds(period, now)
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    facts = shared(
        f"finance:{period}:{midnight:%Y%m%d}",
        lambda: gather(
            since=since,
            until=until,
            days_from=midnight - timedelta(days=DAYS_SHOWN - 1),
            zone=settings.TIME_ZONE,
            now=now,
        ),
    )
    panels: list[Panel] = [
        _channels(facts),
        _days(facts, midnight.date()),
        _statements(facts),
        _returning(facts, now),
        _disagreements(facts),
        _accounts(facts),
    ]
    return Board(
        title=_("Finance"),
        as_of=facts.as_of,
        every_s=EVERY_S,
        figures=_figures(facts, now),
        panels=panels,
        choices=[Choice("period", _("time"), list(PERIODS.items()), period)],
    )


def bounds(period: str, now: datetime) -> tuple[datetime, datetime]:
    """A period's beginning and end, in days of the product's time zone."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    match period:
        case "yesterday":
            return midnight - day, midnight
        case "7d":
            return midnight - 6 * day, midnight + day
        case "30d":
            return midnight - 29 * day, midnight + day
        case _:
            return midnight, midnight + day


def _total(sums: dict[tuple[str, str], Sum]) -> Sum:
    """In the home currency; others are shown by channel."""
    mine = [one for (_channel, currency), one in sums.items() if currency == HOME]
    return Sum(sum(one.count for one in mine), sum(one.minor for one in mine))


def _figures(facts: FinanceFacts, now: datetime) -> list[Figure]:
    took, refunded, fees = _total(facts.took), _total(facts.refunded), _total(facts.fees_milli)
    paid_in = {"paid_at__gte": facts.since, "paid_at__lt": facts.until}
    refunded_in = {"refunded_at__gte": facts.since, "refunded_at__lt": facts.until}
    returning = [one for one in facts.returning if one.currency == HOME]
    oldest = min([one.oldest for one in returning], default=None)
    unsettled = sum(facts.unsettled(*pair) for pair in facts.pairs if pair[1] == HOME)
    payments, refunds = _("%(count)s payments"), _("%(count)s refunds")
    return [
        Figure(
            "took",
            _("money in"),
            money(took.minor, HOME),
            links.rows(PAYMENTS, state__exact="succeeded", **paid_in),
            payments % {"count": number(took.count)},
        ),
        Figure(
            "refunded",
            _("refunded"),
            money(refunded.minor, HOME),
            links.rows(REFUNDS, state__exact="succeeded", **refunded_in),
            refunds % {"count": number(refunded.count)},
        ),
        Figure(
            "fees",
            _("fees"),
            money(round(fees.minor / 1000), HOME),
            links.rows("payments_statementline", **FEES, **facts.days_of),
            _("as the statements say"),
        ),
        Figure(
            "returning",
            _("on its way back"),
            money(sum(one.minor for one in returning), HOME),
            links.rows(REFUNDS, state__in=ON_THEIR_WAY),
            refunds % {"count": number(sum(one.count for one in returning))},
            LOOK if oldest and now - oldest > LATE else "",
        ),
        Figure(
            "unsettled",
            _("unsettled"),
            money(unsettled, HOME),
            links.rows(ACCOUNTS, kind__exact="clearing"),
            _("what the channels owe us"),
        ),
        _held(facts, AccountKind.GUARANTEE, _("for organisers, until after the show")),
        _held(facts, AccountKind.SUSPENSE, _("on its way back, or unexplained")),
        *_differences(facts),
        _cases(inbox.summary(now=now)),
    ]


def _held(facts: FinanceFacts, kind: AccountKind, note: str) -> Figure:
    minor = sum(one.minor for one in facts.hot if one.kind == kind and one.currency == HOME)
    return Figure(
        kind.value, kind.label, money(minor, HOME), links.rows(ACCOUNTS, kind__exact=kind.value), note
    )


def _differences(facts: FinanceFacts) -> list[Figure]:
    count, minor = sum(one.count for one in facts.differences), sum(one.minor for one in facts.differences)
    url = links.rows("payments_discrepancy", state__exact="open")
    note = _("%(amount)s at stake") % {"amount": money(minor, HOME)}
    return [Figure("differences", _("open differences"), number(count), url, note, BAD if count else "")]


def _cases(waiting: inbox.Summary) -> Figure:
    note = _("%(late)s late, %(amount)s at risk") % {
        "late": number(waiting.late),
        "amount": money(waiting.at_risk.get(HOME, 0), HOME),
    }
    tone = BAD if waiting.late else LOOK if waiting.count else ""
    return Figure("cases", _("open cases"), number(waiting.count), links.rows("desk_case"), note, tone)


def _channels(facts: FinanceFacts) -> Table:
    rows = []
    for channel, currency in facts.pairs:
        took, refunded = (
            facts.took.get((channel, currency), Sum()),
            facts.refunded.get((channel, currency), Sum()),
        )
        fee = round(facts.fees_milli.get((channel, currency), Sum()).minor / 1000)
        returning = [one for one in facts.returning if (one.channel, one.currency) == (channel, currency)]
        differences = [one for one in facts.differences if one.channel == channel]
        paid_in = {"paid_at__gte": facts.since, "paid_at__lt": facts.until}
        refunded_in = {"refunded_at__gte": facts.since, "refunded_at__lt": facts.until}
        of_statements = {
            "channel__exact": channel,
            "day__gte": facts.since.date(),
            "day__lt": facts.until.date(),
        }
        rows.append(
            [
                Cell(_name(channel, currency)),
                _money(
                    took.minor,
                    currency,
                    links.rows(PAYMENTS, channel__exact=channel, state__exact="succeeded", **paid_in),
                ),
                Cell(
                    number(took.count),
                    links.rows(PAYMENTS, channel__exact=channel, state__exact="succeeded", **paid_in),
                    number=True,
                ),
                _money(
                    refunded.minor,
                    currency,
                    links.rows(
                        REFUNDS, payment__channel__exact=channel, state__exact="succeeded", **refunded_in
                    ),
                ),
                _money(fee, currency, links.rows("payments_statementline", **FEES, **of_statements)),
                _money(took.minor - refunded.minor - fee, currency),
                _money(
                    sum(one.minor for one in returning),
                    currency,
                    links.rows(REFUNDS, payment__channel__exact=channel, state__in=ON_THEIR_WAY),
                ),
                _money(
                    facts.settled.get((channel, currency, "transfer"), 0),
                    currency,
                    links.rows("payments_settlement", **of_statements, kind__exact="transfer"),
                ),
                _money(
                    facts.unsettled(channel, currency),
                    currency,
                    links.rows("wallet_posting", q=f"clearing:{channel}:{currency}"),
                ),
                Cell(
                    number(sum(one.count for one in differences)),
                    links.rows("payments_discrepancy", state__exact="open", channel__exact=channel),
                    BAD if differences else "",
                    number=True,
                ),
            ]
        )
    headers = [
        _("channel"),
        _("money in"),
        _("payments"),
        _("refunded"),
        _("fees"),
        _("remains"),
        _("on its way back"),
        _("sent to the bank"),
        _("unsettled"),
        _("open differences"),
    ]
    return Table("channels", _("By channel"), headers, rows, _("No money has moved."), wide=True)


def _days(facts: FinanceFacts, today: date) -> Chart:
    """Taken upwards, refunded downwards, in whole units of the currency."""
    days = [today - timedelta(days=back) for back in reversed(range(DAYS_SHOWN))]
    channels = [one for one in ChannelCode if any(key[1] == one for key in facts.days)]
    series = [
        Series(
            channel.label, [facts.days.get(("took", channel, day), 0) / 100 for day in days], COLOURS[channel]
        )
        for channel in channels
    ]
    back = [-sum(facts.days.get(("refunded", one, day), 0) for one in channels) / 100 for day in days]
    if any(back):
        series.append(Series(_("refunded"), back, LOST))
    return Chart(
        "days",
        _("Taken and refunded by day, in yuan"),
        "bar",
        [f"{day:%m-%d}" for day in days],
        series,
        stacked=True,
        links=[
            links.rows(
                PAYMENTS, state__exact="succeeded", paid_at__gte=start, paid_at__lt=start + timedelta(days=1)
            )
            for start in map(_midnight, days)
        ],
        wide=True,
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())


def _statements(facts: FinanceFacts) -> Table:
    """How far each channel's statements have come."""
    rows = []
    for one in facts.latest:
        url = links.one("payments_statement", one.id)
        rows.append(
            [
                Cell(_name(one.channel, HOME)),
                Cell(_("payments and refunds") if one.kind == "trade" else _("movements of money")),
                Cell(f"{one.day:%Y-%m-%d}", url, number=True),
                Cell(number(one.lines), url, number=True),
            ]
        )
    headers = [_("channel"), _("kind"), _("latest day"), _("lines")]
    return Table("statements", _("Statements"), headers, rows, _("No statement has been loaded yet."))


def _returning(facts: FinanceFacts, now: datetime) -> Table:
    rows = []
    for one in sorted(facts.returning, key=lambda one: one.oldest):
        url = links.rows(REFUNDS, payment__channel__exact=one.channel, state__exact=one.state)
        refused = one.state == RefundState.REFUSED
        rows.append(
            [
                Cell(_name(one.channel, one.currency)),
                Cell(RefundState(one.state).label, tone=BAD if refused else ""),
                Cell(number(one.count), url, number=True),
                _money(one.minor, one.currency, url),
                Cell(age(now - one.oldest), tone=LOOK if now - one.oldest > LATE else "", number=True),
            ]
        )
    headers = [_("channel"), _("state"), _("refunds"), _("amount"), _("oldest")]
    return Table("returning", _("Refunds on their way"), headers, rows, _("Every refund has arrived."))


def _disagreements(facts: FinanceFacts) -> Table:
    rows = []
    for one in facts.differences:
        url = links.rows(
            "payments_discrepancy", state__exact="open", channel__exact=one.channel, klass__exact=one.klass
        )
        rows.append(
            [
                Cell(_name(one.channel, one.currency)),
                Cell(Klass(one.klass).label),
                Cell(number(one.count), url, BAD, number=True),
                _money(one.minor, one.currency, url),
            ]
        )
    headers = [_("channel"), _("class"), _("how many"), _("at stake")]
    return Table("differences", _("Open differences"), headers, rows, _("Every statement agrees."))


def _accounts(facts: FinanceFacts) -> Table:
    rows = [
        [
            Cell(AccountKind(one.kind).label),
            Cell(number(one.count), links.rows(ACCOUNTS, kind__exact=one.kind), number=True),
            _money(one.minor, one.currency, links.rows(ACCOUNTS, kind__exact=one.kind)),
            _money(
                one.held_minor, one.currency, links.rows(ACCOUNTS, kind__exact=one.kind, held_minor__gt=0)
            ),
        ]
        for one in facts.bounded
    ]
    rows += [
        [
            Cell(f"{AccountKind(one.kind).label} {_owner(one.owner)}".strip()),
            Cell("1", links.one(ACCOUNTS, one.id), number=True),
            _money(
                one.minor,
                one.currency,
                links.rows("wallet_posting", q=f"{one.kind}:{one.owner}:{one.currency}"),
            ),
            Cell("", number=True),
        ]
        for one in facts.hot
        if one.minor
    ]
    headers = [_("account"), _("how many"), _("balance"), _("frozen")]
    return Table("accounts", _("The ledger now"), headers, rows, _("No account is open yet."))


def _money(minor: int, currency: str, url: str = "") -> Cell:
    return Cell(money(minor, currency), url, number=True)


def _owner(owner: str) -> str:
    return str(ChannelCode(owner).label) if owner in ChannelCode.values else owner


def _name(channel: str, currency: str) -> str:
    return _owner(channel) if currency == HOME else f"{_owner(channel)} {currency}"


def age(span: timedelta) -> str:
    """How long something has waited, in its largest unit: 45 s, 12 min, 3 h, 2 d."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in ((_("%(n)d d"), 86_400), (_("%(n)d h"), 3600), (_("%(n)d min"), 60)):
        if seconds >= size:
            return unit % {"n": seconds // size}
    return _("%(n)d s") % {"n": seconds}
