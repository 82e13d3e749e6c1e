"""The boards' addresses. `?part=1` answers the changing part alone: boards.js asks for it every few seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from operations.boards import finance, health, sale
from operations.boards.shape import Board
from ticketing.availability import OPEN, phase_to_show
from ticketing.models import Show

SALE, FINANCE, HEALTH = "ticketing.view_order", "payments.view_payment", "payments.view_outboxmessage"
SHOWS_OFFERED = 30
TITLES = {"sale": _("Live sale"), "finance": _("Finance"), "health": _("Health")}

View = Callable[[HttpRequest], HttpResponse]


def _staff(right: str, view: Callable[[HttpRequest], HttpResponse]) -> View:
    """For signed-in staff with the right to see the rows behind the figures."""

    def guarded(request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(right):
            raise PermissionDenied
        return view(request)

    return admin.site.admin_view(guarded)


def _answer(request: HttpRequest, name: str, board: Board) -> HttpResponse:
    context: dict[str, Any] = {"board": board, "name": name}
    if "part" not in request.GET:
        context |= {**admin.site.each_context(request), "title": TITLES[name], "is_fullwidth": "1"}
        return render(request, "admin/boards/board.html", context)
    return render(request, "admin/boards/_changing.html", context)


def _sale(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    shows = list(Show.objects.select_related("event").order_by("-starts_at")[:SHOWS_OFFERED])
    wanted = request.GET.get("show", "")
    show = next((one for one in shows if one.code == wanted), None) or _on_sale(shows)
    if show is None:
        context = {**admin.site.each_context(request), "title": TITLES["sale"], "name": "sale"}
        return render(request, "admin/boards/nothing.html", context)
    span = request.GET.get("span", "")
    chosen = span if span in sale.SPANS else "1h"
    return _answer(request, "sale", sale.board(show=show, shows=shows, span=chosen, now=now))


def _on_sale(shows: list[Show]) -> Show | None:
    """The show that is being sold, else the newest."""
    now = timezone.now()
    selling = (show for show in shows if phase_to_show(show, now=now)[1] == OPEN)
    return next(selling, shows[0] if shows else None)


def _finance(request: HttpRequest) -> HttpResponse:
    wanted = request.GET.get("period", "")
    period = wanted if wanted in finance.PERIODS else "today"
    return _answer(request, "finance", finance.board(period=period, now=timezone.now()))


def _health(request: HttpRequest) -> HttpResponse:
    return _answer(request, "health", health.board(now=timezone.now()))


live_sale = _staff(SALE, _sale)
money = _staff(FINANCE, _finance)
well_being = _staff(HEALTH, _health)
