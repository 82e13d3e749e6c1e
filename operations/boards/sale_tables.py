"""The live sale in tables: by price tier, by channel, and why buyers did not get what they asked for."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from basis.problems import KINDS
from operations.boards import links
from operations.boards.sale_charts import seats_of
from operations.boards.sale_facts import SaleFacts
from operations.boards.sale_figures import ORDERS, PAYMENTS
from operations.boards.shape import GOOD, LOOK, Cell, Table, money, number, percent
from payments.models import ChannelCode
from ticketing.models import OPEN_ORDER_STATES, OrderState

REASONS_SHOWN = 14
# Refusals of the edge and the rush that are no problems of the API.
REASONS = {
    "closed": gettext_lazy("The sale takes no submissions"),
    "not_open": gettext_lazy("The sale is not open"),
    "failed": gettext_lazy("Could not be decided"),
    "listed": gettext_lazy("On a deny list"),
    "looks_automated": gettext_lazy("Looks automated"),
}


def tiers(facts: SaleFacts) -> Table:
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
                Cell(number(tier.sold), seats_of(facts, tier, "S"), number=True),
                Cell(number(tier.held), seats_of(facts, tier, "H"), number=True),
                Cell(
                    number(tier.free), seats_of(facts, tier, "F"), LOOK if not tier.free else "", number=True
                ),
                Cell(percent(tier.sold, tier.seats), number=True),
                Cell(
                    money(paid.minor, tier.currency),
                    links.rows(ORDERS, **of, state__exact="paid"),
                    number=True,
                ),
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


def channels(facts: SaleFacts) -> Table:
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


def refusals(facts: SaleFacts) -> Table:
    """Why buyers did not get what they asked for, most frequent first; at the edge, before a show was known, last."""
    found = [*_orders_refused(facts), *_judged(facts), *_payments_failed(facts), *_orders_lost(facts)]
    found.sort(key=lambda row: -row[0])
    rows = [cells for _count, cells in found[:REASONS_SHOWN]]
    rows += [
        _reason(_("the edge, for all shows"), _said(code), count)
        for code, count in facts.refused_at_edge.most_common()
    ]
    headers = [_("where"), _("why"), _("how often")]
    return Table("refusals", _("Refusals, and why"), headers, rows, _("Nobody was refused."), wide=True)


Counted = tuple[int, list[Cell]]


def _said(code: str) -> str:
    return str(KINDS[code].title if code in KINDS else REASONS.get(code, code))


def _reason(where: str, why: str, count: int, url: str = "") -> list[Cell]:
    return [Cell(where), Cell(why), Cell(number(count), url, number=True)]


def _orders_refused(facts: SaleFacts) -> list[Counted]:
    """By the pages, the API, the drainers and the edge; of those that named a tier, the tier that was refused most."""
    found = []
    for code, count in facts.refused.items():
        of_tiers = {tier: of[code] for tier, of in facts.refused_by_tier.items() if of[code]}
        why = _said(code)
        if of_tiers:
            most = max(of_tiers, key=lambda tier: (of_tiers[tier], tier))
            why = _("%(why)s (most often %(tier)s: %(count)s)") % {
                "why": why,
                "tier": facts.tier_name(most),
                "count": number(of_tiers[most]),
            }
        found.append((count, _reason(_("order"), why, count)))
    return found


def _judged(facts: SaleFacts) -> list[Counted]:
    return [
        (
            count,
            _reason(
                _("gate"),
                f"{code} · {verdict}",
                count,
                links.rows("risk_judgement", q=facts.show.code, verdict__exact=verdict),
            ),
        )
        for verdict, code, count in facts.judged
    ]


def _payments_failed(facts: SaleFacts) -> list[Counted]:
    found = []
    for channel, refusal, count in facts.failed:
        url = links.rows(
            PAYMENTS,
            of_show=facts.show.code,
            channel__exact=channel,
            state__exact="failed",
            refusal__exact=refusal,
        )
        found.append((count, _reason(_("payment"), f"{ChannelCode(channel).label} · {refusal}", count, url)))
    return found


def _orders_lost(facts: SaleFacts) -> list[Counted]:
    found = []
    for state in (OrderState.EXPIRED, OrderState.CANCELLED):
        if count := facts.orders_in(state).count:
            url = links.rows(ORDERS, show__id__exact=facts.show.pk, state__exact=state.value)
            found.append((count, _reason(_("order"), str(state.label), count, url)))
    return found
