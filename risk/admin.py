"""What risk remembers, for the staff: to look at."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from basis import staff
from basis.staff import LookOnlyAdmin
from risk import gate_admin, room_admin, switch_admin, trading_admin  # noqa: F401 - registers their pages
from risk.models import BurnedToken


@admin.register(BurnedToken)
class BurnedTokenAdmin(LookOnlyAdmin):
    list_display = ("subject", "payment", "who", "when")
    list_filter = (staff.since("burned_at"),)
    search_fields = ("subject__exact", "burned_for__exact", "nonce__exact")
    fields = ("nonce", "subject", "payment", "who", "when")

    @admin.display(description=_("payment"))
    def payment(self, token: BurnedToken) -> SafeString | str:
        return staff.number(token.burned_for)

    @admin.display(description=_("buyer"))
    def who(self, token: BurnedToken) -> SafeString:
        return staff.buyer(token.buyer_id)

    @admin.display(description=_("time"), ordering="burned_at")
    def when(self, token: BurnedToken) -> str:
        return staff.moment(token.burned_at)
