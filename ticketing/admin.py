"""
What is sold, for the staff to set up; orders and tickets, to look at.

Texts, dates, phases, prices and invitations are edited here. What an order rests on is not: codes, seats, and the
price of a tier that somebody has ordered.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import IntegrityError, models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminColorInputWidget

from ticketing import (
    cdn,
    orders_admin,  # noqa: F401  (registers the pages to look at)
    prerender,
    settlements_admin,  # noqa: F401  (registers settlement with organisers)
)
from ticketing.cancel_admin import Cancelling
from ticketing.models import Event, Invitation, Organiser, PriceTier, SalePhase, Section, Show, Venue
from ticketing.settlement_admin import ShowsSettlement
from ticketing.withdrawal_admin import Withdrawing
from wallet.admin import amount

OVERLAP = "ticketing_salephase_apart"


class SettingUp(ModelAdmin):
    """Edited by staff with the right to. `fixed` names what never changes once it is there."""

    fixed: tuple[str, ...] = ()
    warn_unsaved_form = True
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *(self.fixed if obj else ()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # Orders, tickets and the ledger point here for ever.


@admin.register(Organiser)
class OrganiserAdmin(ShowsSettlement, Withdrawing, SettingUp):
    list_display = ("code", "name_zh", "name_en", "fee", "settlement", "settlements")
    search_fields = ("code", "name_zh", "name_en")
    fixed = ("code",)  # the owner of the merchant's account in the ledger
    readonly_fields = ("account",)


@admin.register(Venue)
class VenueAdmin(SettingUp):
    list_display = ("code", "name_zh", "name_en", "city_zh", "city_en")
    search_fields = ("code", "name_zh", "name_en")
    fixed = ("code",)


@admin.register(Section)
class SectionAdmin(SettingUp):
    list_display = ("code", "name_zh", "name_en", "zone", "venue", "position")
    list_filter = ("venue", "zone")
    list_select_related = ("venue",)
    search_fields = ("code", "name_zh", "name_en")
    fixed = ("venue", "code")  # the code stands on tickets

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # A section without rows sells nothing; venues come with their plan.


@admin.register(Event)
class EventAdmin(SettingUp):
    list_display = ("slug", "name_zh", "name_en", "organiser", "published")
    list_filter = ("published", "organiser")
    list_select_related = ("organiser",)
    search_fields = ("slug", "name_zh", "name_en")
    actions = ("render_again",)

    @admin.action(description=_("Render the shared pages again"), permissions=("change",))
    def render_again(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        """For whoever does not want to wait for the timer, or does not trust what lies on the disk or at the CDN."""
        if settings.PAGES_DIR is None:
            none = _("This installation serves no pages from disk (KAIPIAO_PAGES_DIR is not set).")
            self.message_user(request, none, messages.WARNING)
            return
        done = len(
            prerender.render(settings.PAGES_DIR, queryset, now=timezone.now(), cdn=cdn.in_use(), anew=True)
        )
        text = ngettext("%(count)d page rendered.", "%(count)d pages rendered.", done)
        self.message_user(request, text % {"count": done})
        if left := queryset.filter(published=False).count():
            text = ngettext(
                "%(count)d event is not published and has no page.",
                "%(count)d events are not published and have no page.",
                left,
            )
            self.message_user(request, text % {"count": left}, messages.WARNING)


class PhaseForm(forms.ModelForm):
    """The database refuses phases that overlap; this says so in time, and beside the field."""

    class Meta:
        model = SalePhase
        exclude: tuple[str, ...] = ()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        show, opens_at, closes_at = (data.get(name) for name in ("show", "opens_at", "closes_at"))
        show = show or getattr(self.instance, "show", None)
        if not (show and opens_at and closes_at):
            return data
        if closes_at <= opens_at:
            raise ValidationError({"closes_at": _("A phase closes after it opens.")})
        other = (
            SalePhase.objects.filter(show=show, opens_at__lt=closes_at, closes_at__gt=opens_at)
            .exclude(pk=self.instance.pk)
            .first()
        )
        if other is not None:
            told = _("It overlaps with the phase “%(kind)s” of this show.")
            raise ValidationError(
                {"opens_at": ValidationError(told, params={"kind": other.get_kind_display()})}
            )
        return data


@admin.register(SalePhase)
class SalePhaseAdmin(SettingUp):
    form = PhaseForm
    list_display = ("show", "kind", "opens_at", "closes_at", "per_buyer_limit", "eligibility")
    list_filter = ("kind", "eligibility", "show")
    list_select_related = ("show",)
    ordering = ("-opens_at",)
    fixed = ("show",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.orders.exists():
            return False
        return bool(request.user.has_perm("ticketing.delete_salephase"))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError as error:
            if OVERLAP not in str(error):
                raise
            # Somebody else saved a phase between our look and our save.
            self.message_user(
                request, _("Another phase was saved meanwhile, and the two overlap."), messages.ERROR
            )
            return HttpResponseRedirect(request.get_full_path())


class ShowPhaseInline(admin.TabularInline):
    """Which phases there are; they are edited on their own pages, where overlaps are told."""

    model = SalePhase
    fields = ("kind", "opens_at", "closes_at", "per_buyer_limit", "eligibility")
    readonly_fields = fields
    extra = max_num = 0
    can_delete = False
    show_change_link = True
    ordering = ("opens_at",)


@admin.register(Show)
class ShowAdmin(Cancelling, SettingUp):
    list_display = ("code", "event", "venue", "starts_at", "doors_at", "ends_at", "takes_place")
    readonly_fields = ("takes_place",)
    list_filter = ("venue", "event")
    list_select_related = ("event", "venue")
    search_fields = ("code", "event__name_zh", "event__name_en")
    ordering = ("-starts_at",)
    fixed = ("event", "venue", "code")
    inlines = (ShowPhaseInline,)


@admin.register(PriceTier)
class PriceTierAdmin(SettingUp):
    list_display = ("show", "code", "name_zh", "name_en", "price", "rank")
    list_filter = ("show",)
    list_select_related = ("show",)
    search_fields = ("code", "show__code", "name_zh", "name_en")
    fixed = ("show", "code", "currency")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        ordered = obj is not None and obj.orders.exists()
        return (*super().get_readonly_fields(request, obj), *(("price_minor", "rank") if ordered else ()))

    def formfield_for_dbfield(self, db_field: models.Field[Any, Any], request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "colour" and field is not None:
            field.widget = UnfoldAdminColorInputWidget()
            field.validators.append(RegexValidator(r"^#[0-9a-fA-F]{6}$", _("Write a colour like #7c3aed.")))
        if db_field.name == "price_minor" and field is not None:
            field.help_text = _("In the currency's smallest unit: 38000 is ¥380.00.")
        return field

    @admin.display(description=_("price"), ordering="price_minor")
    def price(self, tier: PriceTier) -> str:
        return amount(tier.price_minor, tier.currency)


@admin.register(Invitation)
class InvitationAdmin(SettingUp):
    list_display = ("buyer", "phase", "show")
    list_filter = ("phase__show", "phase__kind")
    list_select_related = ("buyer", "phase__show")
    search_fields = ("buyer__handle__exact",)
    autocomplete_fields = ("buyer",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("ticketing.delete_invitation"))

    @admin.display(description=_("show"))
    def show(self, invitation: Invitation) -> str:
        return invitation.phase.show.code
