"""Whether anything is paid out to an organiser, on the organiser's own page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from basis import staff
from risk.trading_models import SettlementHold
from ticketing.models import Organiser
from ticketing.settlements_admin import percent


class ShowsSettlement:
    """For the organisers' list: held or not, leading to what was found about the trading."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organiser]:
        holds = SettlementHold.objects.filter(merchant=OuterRef("code"), lifted_at=None)
        found: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return found.annotate(is_held=Exists(holds))

    @admin.display(description=_("settlement"))
    def settlement(self, organiser: Any) -> SafeString | str:
        if not organiser.is_held:
            return staff.NOTHING
        return staff.page("risk_riskfinding", _("held"), q=organiser.code)

    @admin.display(description=_("fee"), ordering="fee_bps")
    def fee(self, organiser: Any) -> str:
        return percent(organiser.fee_bps)

    @admin.display(description=_("settlements with organisers"))
    def settlements(self, organiser: Any) -> SafeString | str:
        return staff.page("ticketing_showsettlement", _("all settlements"), q=organiser.code)
