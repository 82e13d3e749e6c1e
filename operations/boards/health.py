"""The machinery's health: what lags, what is stuck, what is away. A red figure names what somebody must do."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from operations.boards import links
from operations.boards.finance import age
from operations.boards.health_facts import AGES_S, HealthFacts, Line, gather
from operations.boards.shape import (
    BAD,
    FREE,
    GOOD,
    HELD,
    LOOK,
    LOST,
    OTHER,
    PLACED,
    TAKEN,
    Board,
    Cell,
    Chart,
    Figure,
    Series,
    Table,
    number,
)
from operations.boards.sharing import shared
from operations.presence import WORKER_ALIVE_S
from payments import breaker
from payments.models import ChannelCode
from risk.load_models import RouteGroup

EVERY_S = 5
PAYMENTS, OUTBOX = "payments_payment", "payments_outboxmessage"
BEAT_LATE_S, OUTBOX_LATE_S, LAG_LATE_S = 60, 120, 30
PACER_LATE = timedelta(seconds=10)
GROUP_COLOURS = {
    RouteGroup.ORDERS: PLACED,
    RouteGroup.PAYMENTS: TAKEN,
    RouteGroup.SIGN_IN: OTHER,
    RouteGroup.READS: FREE,
}


def board(*, now: datetime) -> Board:
    facts = shared("health", lambda: gather(now=now))
    return Board(
        title=_("Health"),
        as_of=facts.as_of,
        every_s=EVERY_S,
        figures=_figures(facts),
        panels=[
            _load(facts),
            _unknowns(facts),
            _lags(facts),
            _outbox(facts),
            _lines(facts),
            _workers(facts),
            _stores(facts),
        ],
    )


def _channel(code: str) -> str:
    return str(ChannelCode(code).label) if code in ChannelCode.values else code


def _figures(facts: HealthFacts) -> list[Figure]:
    lag = max((one.came_s[1] for one in facts.lags), default=None)
    oldest = min((one.oldest_due for one in facts.outbox if one.oldest_due), default=None)
    behind_s = (facts.as_of - oldest).total_seconds() if oldest else 0
    failing = sum(one.failing for one in facts.outbox)
    open_lines = [line for line in facts.lines if line.circuit != breaker.CLOSED]
    parked = facts.verdicts.get("parked", 0)
    return [
        Figure(
            "lag",
            _("callback lag, p95"),
            seconds(lag),
            links.rows("payments_notification", received_at_since="1h"),
            _("of the slowest channel, last hour"),
            LOOK if lag is not None and lag > LAG_LATE_S else "",
        ),
        Figure(
            "unknown",
            _("unknown payments"),
            number(facts.unknown()),
            links.rows(PAYMENTS, state__exact="unknown"),
            _("%(count)s for over half an hour") % {"count": number(facts.unknown(len(AGES_S)))},
            BAD if facts.unknown(len(AGES_S)) else LOOK if facts.unknown() else "",
        ),
        Figure(
            "outbox",
            _("outbox, due"),
            number(sum(one.due for one in facts.outbox)),
            links.rows(OUTBOX, done_at__isempty=1, due_at__lte=facts.as_of),
            _("oldest %(age)s") % {"age": age(timedelta(seconds=behind_s))}
            if oldest
            else _("nothing is due"),
            BAD if behind_s > OUTBOX_LATE_S else "",
        ),
        Figure(
            "failing",
            _("messages that fail"),
            number(failing),
            links.rows(OUTBOX, done_at__isempty=1, last_error__gt=""),
            _("tried again until they are done"),
            LOOK if failing else "",
        ),
        Figure(
            "parked",
            _("parked notifications"),
            number(parked),
            links.rows("payments_notification", verdict__exact="parked"),
            _("for staff to look at"),
            BAD if parked else "",
        ),
        Figure(
            "ticketless",
            _("paid, no ticket"),
            number(facts.paid_without_ticket),
            links.rows("ticketing_order", state__exact="paid", tickets__isnull=1),
            _("must be none"),
            BAD if facts.paid_without_ticket else GOOD,
        ),
        Figure(
            "overdue",
            _("holds past their end"),
            number(facts.overdue_orders),
            links.rows("ticketing_order", state__in="held,paying", hold_until__lt=facts.as_of),
            _("by more than a minute"),
            LOOK if facts.overdue_orders else "",
        ),
        _beat(facts),
        Figure(
            "workers",
            _("workers"),
            number(facts.workers_alive),
            "#table-workers",
            _("%(count)s web processes busy") % {"count": "?" if facts.web is None else number(facts.web)},
            "" if facts.workers_alive else BAD,
        ),
        Figure(
            "breakers",
            _("breakers open"),
            number(len(open_lines)),
            links.rows("payments_channelsetting"),
            ", ".join(_channel(line.channel) for line in open_lines) or _("every channel answers"),
            BAD if open_lines else "",
        ),
    ]


def _beat(facts: HealthFacts) -> Figure:
    late = facts.beat_s is None or facts.beat_s > BEAT_LATE_S
    shown = "?" if facts.beat_s is None else age(timedelta(seconds=facts.beat_s))
    note = _("start beat and a worker") if late else _("since its last sign")
    return Figure("beat", _("beat"), shown, "#table-workers", note, BAD if late else "")


def seconds(value: float | None) -> str:
    """0.24 s, 12 s, 3 min."""
    if value is None:
        return "—"
    return f"{value:.2f} s" if value < 10 else age(timedelta(seconds=value))


def _load(facts: HealthFacts) -> Chart:
    """Requests a second by route group, over the last minute that the processes told of."""
    last = int(facts.as_of.timestamp()) - 1
    window = list(range(last - 59, last + 1))
    shown = {group: {one.second: one.requests for one in told} for group, told in facts.loads.items()}
    return Chart(
        "load",
        _("Requests a second"),
        "line",
        [f"{timezone.localtime(datetime.fromtimestamp(at, facts.as_of.tzinfo)):%H:%M:%S}" for at in window],
        [
            Series(
                group.label, [shown.get(group.value, {}).get(at, 0) for at in window], GROUP_COLOURS[group]
            )
            for group in RouteGroup
        ],
        wide=True,
    )


def _unknowns(facts: HealthFacts) -> Chart:
    classes = [_("under 1 min"), _("1 to 5 min"), _("5 to 30 min"), _("over 30 min")]
    states = [
        ("unknown", _("unknown"), LOST),
        ("pending", _("waiting for the buyer"), HELD),
        ("created", _("created"), FREE),
    ]
    bounds = (0, *AGES_S)
    urls = []
    for n, low in enumerate(bounds):
        span = {"created_at__lte": facts.as_of - timedelta(seconds=low)}
        if n + 1 < len(bounds):
            span["created_at__gt"] = facts.as_of - timedelta(seconds=bounds[n + 1])
        urls.append(links.rows(PAYMENTS, state__in="created,pending,unknown", **span))
    return Chart(
        "unknowns",
        _("Payments without an end, by age"),
        "bar",
        classes,
        [
            Series(text, [facts.unknown(n, state) for n in range(len(bounds))], colour)
            for state, text, colour in states
        ],
        stacked=True,
        links=urls,
    )


def _lags(facts: HealthFacts) -> Table:
    rows = []
    for lag in facts.lags:
        url = links.rows("payments_notification", channel__exact=lag.channel, received_at_since="1h")
        rows.append(
            [
                Cell(_channel(lag.channel)),
                Cell(number(lag.count), url, number=True),
                *(
                    Cell(seconds(value), url, LOOK if value > LAG_LATE_S else "", number=True)
                    for value in lag.came_s
                ),
                *(Cell(seconds(value), url, number=True) for value in lag.applied_s),
            ]
        )
    headers = [
        _("channel"),
        _("callbacks"),
        _("until it comes, p50"),
        _("p95"),
        _("until it is applied, p50"),
        _("p95"),
    ]
    return Table("lags", _("Callback lag, last hour"), headers, rows, _("No callback in the last hour."))


def _outbox(facts: HealthFacts) -> Table:
    rows = []
    for depth in facts.outbox:
        of = {"kind": depth.kind, "done_at__isempty": 1}
        late = depth.oldest_due and (facts.as_of - depth.oldest_due).total_seconds() > OUTBOX_LATE_S
        rows.append(
            [
                Cell(depth.kind),
                Cell(number(depth.waiting), links.rows(OUTBOX, **of), number=True),
                Cell(number(depth.due), links.rows(OUTBOX, **of, due_at__lte=facts.as_of), number=True),
                Cell(
                    number(depth.failing),
                    links.rows(OUTBOX, **of, last_error__gt=""),
                    LOOK if depth.failing else "",
                    number=True,
                ),
                Cell(
                    age(facts.as_of - depth.oldest_due) if depth.oldest_due else "—",
                    tone=BAD if late else "",
                    number=True,
                ),
            ]
        )
    headers = [_("message"), _("waiting"), _("due"), _("failing"), _("oldest due")]
    return Table("outbox", _("Outbox"), headers, rows, _("The outbox is empty."))


CIRCUIT_TONES = {breaker.CLOSED: GOOD, breaker.HALF_OPEN: LOOK, breaker.OPEN: BAD}


def _lines(facts: HealthFacts) -> Table:
    words = {breaker.CLOSED: _("closed"), breaker.HALF_OPEN: _("half open"), breaker.OPEN: _("open")}

    def row(line: Line) -> list[Cell]:
        bound = (
            f"{line.setting.calls_per_second:g}/s, {line.setting.in_flight}" if line.setting else _("none")
        )
        unknown = sum(
            n
            for (channel, state, _age), n in facts.live.items()
            if (channel, state) == (line.channel, "unknown")
        )
        return [
            Cell(_channel(line.channel)),
            Cell(words[line.circuit], links.rows("payments_channelsetting"), CIRCUIT_TONES[line.circuit]),
            Cell(bound, number=True),
            Cell(number(line.waiting), links.rows("payments_channelturn", channel=line.channel), number=True),
            Cell(
                number(unknown),
                links.rows(PAYMENTS, channel__exact=line.channel, state__exact="unknown"),
                LOOK if unknown else "",
                number=True,
            ),
        ]

    headers = [_("channel"), _("breaker"), _("bound"), _("waiting"), _("unknown")]
    rows = [row(line) for line in facts.lines]
    return Table("lines", _("Channels"), headers, rows, _("No channel is configured."))


def _workers(facts: HealthFacts) -> Table:
    """Everything that should be running: Celery's workers, the rush's drainers, the pacers of the rooms."""
    rows = []
    for name, since_s in facts.workers:
        dead = since_s > WORKER_ALIVE_S
        rows.append([Cell(_("worker")), Cell(name), *_alive(not dead, timedelta(seconds=since_s))])
    for lane in facts.lanes:
        left = lane.lease_until - facts.as_of
        text = f"{lane.show} {lane.tier} · {lane.worker}"
        rows.append([Cell(_("drainer")), Cell(text), *_alive(left > timedelta(0), max(-left, timedelta(0)))])
    for room in facts.rooms:
        since = facts.as_of - room.seen_at if room.seen_at else None
        alive = since is not None and since < PACER_LATE
        rows.append(
            [Cell(_("pacer")), Cell(room.show, links.one("risk_room", room.pk)), *_alive(alive, since)]
        )
    for queue, depth in facts.queued.items():
        rows.append(
            [Cell(_("queue")), Cell(queue), Cell(_("%(count)s tasks") % {"count": number(depth)}), Cell("")]
        )
    headers = [_("kind"), _("process"), _("state"), _("last sign")]
    return Table("workers", _("Workers"), headers, rows, _("No worker has given a sign."))


def _alive(alive: bool, since: timedelta | None) -> tuple[Cell, Cell]:
    state = Cell(_("alive") if alive else _("silent"), tone=GOOD if alive else BAD)
    return state, Cell(age(since) if since is not None else "—", number=True)


def _stores(facts: HealthFacts) -> Table:
    sessions, redis = facts.sessions, facts.redis
    away = redis.answers_ms is None
    rows = [
        [Cell("Postgres"), Cell(_("sessions")), Cell(number(sessions.all), number=True)],
        [Cell("Postgres"), Cell(_("active now")), Cell(number(sessions.active), number=True)],
        [
            Cell("Postgres"),
            Cell(_("waiting for a lock")),
            Cell(
                number(sessions.waiting_for_locks),
                tone=LOOK if sessions.waiting_for_locks else "",
                number=True,
            ),
        ],
        [
            Cell("Postgres"),
            Cell(_("longest transaction")),
            Cell(
                seconds(float(sessions.longest_s)), tone=LOOK if sessions.longest_s > 10 else "", number=True
            ),
        ],
        [
            Cell("Redis"),
            Cell(_("answers in")),
            Cell(_("away") if away else f"{redis.answers_ms:.1f} ms", tone=BAD if away else "", number=True),
        ],
        [Cell("Redis"), Cell(_("memory used")), Cell(f"{redis.used_bytes / 2**20:.0f} MB", number=True)],
        [Cell("Redis"), Cell(_("clients")), Cell(number(redis.clients), number=True)],
    ]
    return Table("stores", _("Stores"), [_("store"), _("what"), _("now")], rows)
