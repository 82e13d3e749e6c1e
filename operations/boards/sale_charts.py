"""The live sale in pictures: the flow of orders, the way to the ticket, the tiers, the waiting room."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from operations.boards import links
from operations.boards.sale_facts import SaleFacts, Tier
from operations.boards.sale_figures import ORDERS
from operations.boards.shape import FREE, HELD, OTHER, PLACED, TAKEN, Chart, Funnel, Series, funnel
from ticketing.models import OrderState


def seats_of(facts: SaleFacts, tier: Tier, state: str = "") -> str:
    """The seats of a tier, in one state if one is named."""
    only = {"state__exact": state} if state else {}
    return links.rows("ticketing_seat", show__id__exact=facts.show.pk, tier__id__exact=tier.id, **only)


def flow(facts: SaleFacts) -> Chart:
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


def steps(facts: SaleFacts) -> Funnel:
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
        (_("started to pay"), facts.tried_to_pay, links.rows(ORDERS, **of_show, tried="1")),
        (_("paid"), paid.count, links.rows(ORDERS, **of_show, state__in="paid,refunded")),
    ]
    return funnel("funnel", _("From the queue to the ticket"), steps)


def tiers(facts: SaleFacts) -> Chart:
    kinds = [(_("sold"), "sold", TAKEN), (_("held"), "held", HELD), (_("free"), "free", FREE)]
    return Chart(
        "tiers-chart",
        _("Seats by price tier"),
        "bar",
        [tier.name for tier in facts.tiers],
        [Series(text, [getattr(tier, kind) for tier in facts.tiers], colour) for text, kind, colour in kinds],
        stacked=True,
        sideways=True,
        links=[seats_of(facts, tier) for tier in facts.tiers],
    )


def queue(facts: SaleFacts) -> list[Chart]:
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
