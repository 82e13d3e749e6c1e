"""The live sale: queue, admissions, orders, paid, tickets; by tier and channel; where buyers are lost, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from basis.problems import KINDS
from operations.boards import links
from operations.boards.sale_facts import SaleFacts, Tier, gather
from operations.boards.shape import (
    BAD,
    FREE,
    GOOD,
    HELD,
    LOOK,
    OTHER,
    PLACED,
    TAKEN,
    Board,
    Cell,
    Chart,
    Choice,
    Figure,
    Funnel,
    Series,
    Table,
    funnel,
    money,
    number,
    percent,
)
from operations.boards.sharing import shared
from payments.models import ChannelCode
from ticketing.availability import COMING, OPEN, STOPPED, phase_to_show
from ticketing.models import OPEN_ORDER_STATES, OrderState, Show

SPANS: dict[str, tuple[timedelta | None, Any]] = {
    "10m": (timedelta(minutes=10), gettext_lazy("last 10 minutes")),
    "1h": (timedelta(hours=1), gettext_lazy("last hour")),
    "6h": (timedelta(hours=6), gettext_lazy("last 6 hours")),
    "1d": (timedelta(days=1), gettext_lazy("last 24 hours")),
    "all": (None, gettext_lazy("the whole sale")),
}
EVERY_S = 3
ORDERS, PAYMENTS = "ticketing_order", "payments_payment"
REASONS_SHOWN = 12
# Refusals of the edge and the rush that are no problems of the API.
REASONS = {
    "closed": gettext_lazy("The sale takes no submissions"),
    "not_open": gettext_lazy("The sale is not open"),
    "failed": gettext_lazy("Could not be decided"),
    "listed": gettext_lazy("On a deny list"),
    "looks_automated": gettext_lazy("Looks automated"),
}


def board(*, show: Show, shows: Sequence[Show], span: str, now: datetime) -> Board:
    """The live sale of one show."""
    facts = shared(f"sale:{show.code}:{span}", lambda: gather(show=show, span=SPANS[span][0], now=now))
    state, tone = _state(show, now)
    return Board(
        title=show.event.name,
        as_of=facts.as_of,
        every_s=EVERY_S,
        figures=_figures(facts),
        panels=[
            _flow(facts),
            _funnel(facts),
            _tiers_chart(facts),
            *_queue(facts),
            _tiers(facts),
            _channels(facts),
            _refusals(facts),
        ],
        choices=[
            Choice(
                "show", _("show"), [(one.code, f"{one.event.name} · {one.code}") for one in shows], show.code
            ),
            Choice("span", _("time"), [(key, text) for key, (_span, text) in SPANS.items()], span),
        ],
        state=state,
        state_tone=tone,
    )


def _state(show: Show, now: datetime) -> tuple[str, str]:
    phase, state = phase_to_show(show, now=now)
    if phase is None:
        return _("no sale phase"), LOOK
    words = {"kind": phase.get_kind_display(), "when": f"{timezone.localtime(phase.opens_at):%m-%d %H:%M}"}
    if state == OPEN:
        return _("%(kind)s, open") % words, GOOD
    if state == STOPPED:
        return _("stopped by staff"), BAD
    if state == COMING:
        return _("%(kind)s opens %(when)s") % words, ""
    return _("the sale is over"), ""


def _figures(facts: SaleFacts) -> list[Figure]:
    every, paid = facts.orders_in(*OrderState.values), facts.orders_in(OrderState.PAID)
    held, lost = (
        facts.orders_in(*OPEN_ORDER_STATES),
        facts.orders_in(OrderState.EXPIRED, OrderState.CANCELLED),
    )
    refunded = facts.orders_in(OrderState.REFUNDED)
    of_show = {"show__id__exact": facts.show.pk}
    seats = facts.seats("seats")
    left = facts.seats("free")
    currency = facts.tiers[0].currency if facts.tiers else "CNY"
    unknown = sum(tally.count for (_c, state, _o), tally in facts.payments.items() if state == "unknown")
    paid_in = {"of_show": facts.show.code}
    return [
        *_room_figures(facts),
        Figure(
            "placed",
            _("orders"),
            number(every.count),
            links.rows(ORDERS, **of_show),
            _per_minute(facts, "placed"),
        ),
        Figure(
            "open",
            _("waiting for payment"),
            number(held.count),
            links.rows(ORDERS, **of_show, state__in="held,paying"),
            _("%(seats)s seats held") % {"seats": number(held.seats)},
        ),
        Figure(
            "paid",
            _("paid orders"),
            number(paid.count),
            links.rows(ORDERS, **of_show, state__exact="paid"),
            _per_minute(facts, "paid"),
        ),
        Figure(
            "tickets",
            _("tickets"),
            number(facts.tickets),
            links.rows("ticketing_ticket", **of_show, state__in="valid,used"),
            _per_minute(facts, "tickets"),
            LOOK if facts.tickets < paid.seats else "",
        ),
        Figure(
            "left",
            _("seats left"),
            number(left),
            links.rows("ticketing_seat", **of_show, state__exact="F"),
            _("%(share)s of %(seats)s") % {"share": percent(left, seats), "seats": number(seats)},
        ),
        Figure(
            "took",
            _("money in"),
            money(paid.minor, currency),
            links.rows(PAYMENTS, **paid_in, outcome__exact="won"),
            _("%(orders)s orders refunded") % {"orders": number(refunded.count)},
        ),
        Figure(
            "lost",
            _("ended unpaid"),
            number(lost.count),
            links.rows(ORDERS, **of_show, state__in="expired,cancelled"),
            _("%(share)s of the orders") % {"share": percent(lost.count, every.count)},
        ),
        Figure(
            "unknown",
            _("asked at the channel"),
            number(unknown),
            links.rows(PAYMENTS, **paid_in, state__exact="unknown"),
            _("payments without a clear answer"),
            LOOK if unknown else "",
        ),
    ]


def _room_figures(facts: SaleFacts) -> list[Figure]:
    if facts.room is None:
        return []
    seen, url = facts.counters, links.one("risk_room", facts.room.pk)
    tone = "" if seen else LOOK
    waiting = number(seen["waiting"]) if seen else "?"
    admitted = number(seen["serving"]) if seen else "?"
    pace = _("%(pace)s a minute") % {"pace": number(seen.get("pace_per_minute", 0))}
    return [
        Figure("waiting", _("in the queue"), waiting, url, facts.room.get_state_display(), tone),
        Figure("admitted", _("let in"), admitted, url, pace, tone),
    ]


def _per_minute(facts: SaleFacts, what: str) -> str:
    """How many in the last minute; of the whole time that is shown if its steps are longer than a minute."""
    flow = facts.flow[what]
    if facts.bin_s > 60:
        return _("%(count)s in this time") % {"count": number(sum(flow.values()))}
    recent = sum(
        count for at, count in flow.items() if at > facts.as_of - timedelta(seconds=60 + facts.bin_s)
    )
    minutes = (60 + facts.bin_s) / 60
    return _("%(count)s a minute now") % {"count": number(recent / minutes)}


def _flow(facts: SaleFacts) -> Chart:
    step = timedelta(seconds=facts.bin_s)
    last = max([at for flow in facts.flow.values() for at in flow] + [facts.since])
    end = facts.as_of if facts.as_of - last < timedelta(minutes=30) else last
    bins = [facts.since + n * step for n in range(int((end - facts.since) / step) + 1)]
    form = "%H:%M:%S" if facts.bin_s < 60 else "%H:%M" if facts.bin_s < 3600 else "%m-%d %H:%M"
    names = {"placed": (_("orders"), PLACED), "paid": (_("paid"), TAKEN), "tickets": (_("tickets"), OTHER)}
    return Chart(
        "flow",
        _("Orders, payments and tickets"),
        "line",
        [timezone.localtime(at).strftime(form) for at in bins],
        [
            Series(text, [facts.flow[what].get(at, 0) for at in bins], colour)
            for what, (text, colour) in names.items()
        ],
        links=[
            links.rows(ORDERS, show__id__exact=facts.show.pk, placed_at__gte=at, placed_at__lt=at + step)
            for at in bins
        ],
        wide=True,
    )


def _funnel(facts: SaleFacts) -> Funnel:
    steps: list[tuple[Any, int, str]] = []
    if facts.room is not None and facts.counters:
        url = links.one("risk_room", facts.room.pk)
        steps = [
            (_("joined the queue"), facts.counters["issued"], url),
            (_("let in"), facts.counters["serving"], url),
            (_("came"), facts.counters["claims"], url),
        ]
    of_show = {"show__id__exact": facts.show.pk}
    paid = facts.orders_in(OrderState.PAID, OrderState.REFUNDED)
    steps += [
        (_("placed an order"), facts.orders_in(*OrderState.values).count, links.rows(ORDERS, **of_show)),
        (_("started to pay"), facts.tried_to_pay, links.rows(PAYMENTS, of_show=facts.show.code)),
        (_("paid"), paid.count, links.rows(ORDERS, **of_show, state__in="paid,refunded")),
    ]
    return funnel("funnel", _("From the queue to the ticket"), steps)


def _tiers_chart(facts: SaleFacts) -> Chart:
    kinds = [(_("sold"), "sold", TAKEN), (_("held"), "held", HELD), (_("free"), "free", FREE)]
    return Chart(
        "tiers-chart",
        _("Seats by price tier"),
        "bar",
        [tier.name for tier in facts.tiers],
        [Series(text, [getattr(tier, kind) for tier in facts.tiers], colour) for text, kind, colour in kinds],
        stacked=True,
        sideways=True,
        links=[_seats_of(facts, tier) for tier in facts.tiers],
    )


def _queue(facts: SaleFacts) -> list[Chart]:
    """The waiting room over the last minutes, if there is one."""
    if len(facts.waves) < 2:
        return []
    step = max(1, len(facts.waves) // 60)
    waves = facts.waves[::step]
    at = [timezone.localtime(datetime.fromtimestamp(wave.second, tz=facts.as_of.tzinfo)) for wave in waves]
    return [
        Chart(
            "queue",
            _("The waiting room"),
            "line",
            [f"{one:%H:%M:%S}" for one in at],
            [
                Series(_("in the queue"), [max(0, wave.issued - wave.serving) for wave in waves], HELD),
                Series(_("let in"), [wave.serving for wave in waves], TAKEN),
                Series(_("came"), [wave.claims for wave in waves], OTHER),
            ],
            wide=True,
        )
    ]


def _seats_of(facts: SaleFacts, tier: Tier, state: str = "") -> str:
    only = {"state__exact": state} if state else {}
    return links.rows("ticketing_seat", show__id__exact=facts.show.pk, tier__id__exact=tier.id, **only)


def _tiers(facts: SaleFacts) -> Table:
    rows = []
    for tier in facts.tiers:
        held = facts.orders_in(*OPEN_ORDER_STATES, tier=tier.id)
        paid = facts.orders_in(OrderState.PAID, tier=tier.id)
        of = {"show__id__exact": facts.show.pk, "tier__id__exact": tier.id}
        rows.append(
            [
                Cell(f"{tier.name} · {money(tier.price_minor, tier.currency)}"),
                Cell(number(facts.queued.get(tier.id, 0)), number=True),
                Cell(number(held.count), links.rows(ORDERS, **of, state__in="held,paying"), number=True),
                Cell(number(paid.count), links.rows(ORDERS, **of, state__exact="paid"), number=True),
                Cell(number(tier.sold), _seats_of(facts, tier, "S"), number=True),
                Cell(number(tier.held), _seats_of(facts, tier, "H"), number=True),
                Cell(
                    number(tier.free), _seats_of(facts, tier, "F"), LOOK if not tier.free else "", number=True
                ),
                Cell(percent(tier.sold, tier.seats), number=True),
                Cell(money(paid.minor, tier.currency), number=True),
            ]
        )
    headers = [
        _("price tier"),
        _("submitted, unanswered"),
        _("open orders"),
        _("paid orders"),
        _("sold"),
        _("held"),
        _("free"),
        _("share sold"),
        _("money in"),
    ]
    return Table("tiers", _("By price tier"), headers, rows, _("This show has no price tiers."), wide=True)


def _channels(facts: SaleFacts) -> Table:
    rows = []
    for channel in ChannelCode:
        mine = {key: tally for key, tally in facts.payments.items() if key[0] == channel}
        if not mine:
            continue
        of = {"channel__exact": channel.value, "of_show": facts.show.code}

        def states(*wanted: str, mine: dict[tuple[str, str, str], Any] = mine) -> int:
            return sum(tally.count for (_c, state, _o), tally in mine.items() if state in wanted)

        tried, done = sum(tally.count for tally in mine.values()), states("succeeded")
        surplus = sum(tally.count for (_c, _s, outcome), tally in mine.items() if outcome == "surplus")
        ended = done + states("failed", "closed")
        rows.append(
            [
                Cell(channel.label),
                Cell(number(tried), links.rows(PAYMENTS, **of), number=True),
                Cell(number(done), links.rows(PAYMENTS, **of, state__exact="succeeded"), GOOD, number=True),
                Cell(percent(done, ended), number=True),
                Cell(
                    number(states("created", "pending")),
                    links.rows(PAYMENTS, **of, state__in="created,pending"),
                    number=True,
                ),
                _alarm(states("unknown"), links.rows(PAYMENTS, **of, state__exact="unknown"), LOOK),
                _alarm(states("failed"), links.rows(PAYMENTS, **of, state__exact="failed"), ""),
                _alarm(surplus, links.rows(PAYMENTS, **of, outcome__exact="surplus"), LOOK),
            ]
        )
    headers = [
        _("channel"),
        _("payments"),
        _("paid"),
        _("of those that ended"),
        _("under way"),
        _("unknown"),
        _("refused"),
        _("surplus"),
    ]
    return Table("channels", _("By channel"), headers, rows, _("Nobody has paid yet."), wide=True)


def _alarm(count: int, url: str, tone: str) -> Cell:
    return Cell(number(count), url, tone if count else "", number=True)


def _refusals(facts: SaleFacts) -> Table:
    """Why buyers did not get what they asked for, most frequent first."""
    found: list[tuple[int, list[Cell]]] = []
    show = facts.show.code
    for code, count in facts.refused.items():
        text = str(KINDS[code].title if code in KINDS else REASONS.get(code, code))
        found.append((count, [Cell(_("order")), Cell(text), Cell(number(count), number=True)]))
    for verdict, code, count in facts.judged:
        url = links.rows("risk_judgement", q=show, verdict__exact=verdict)
        found.append(
            (count, [Cell(_("gate")), Cell(f"{code} · {verdict}"), Cell(number(count), url, number=True)])
        )
    for channel, refusal, count in facts.failed:
        url = links.rows(
            PAYMENTS, of_show=show, channel__exact=channel, state__exact="failed", refusal__exact=refusal
        )
        text = f"{ChannelCode(channel).label} · {refusal}"
        found.append((count, [Cell(_("payment")), Cell(text), Cell(number(count), url, number=True)]))
    for state in (OrderState.EXPIRED, OrderState.CANCELLED):
        count = facts.orders_in(state).count
        if count:
            url = links.rows(ORDERS, show__id__exact=facts.show.pk, state__exact=state.value)
            found.append(
                (count, [Cell(_("order")), Cell(state.label), Cell(number(count), url, number=True)])
            )
    found.sort(key=lambda row: -row[0])
    rows = [cells for _count, cells in found[:REASONS_SHOWN]]
    headers = [_("where"), _("why"), _("how often")]
    return Table("refusals", _("Refusals, and why"), headers, rows, _("Nobody was refused."), wide=True)
