"""The staff's desk at the waiting rooms: how many wait and come, and the levers, each pull of which is written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from basis.staff import LookOnlyInline, moment
from risk import pacing, steering
from risk.room_models import Room, RoomEvent

Verb = Callable[..., Room]


class RoomEventInline(LookOnlyInline):
    model = RoomEvent
    verbose_name_plural = _("who did what")
    fields = ("when", "actor", "action", "facts")
    ordering = ("-pk",)
    classes = ("collapse",)

    @admin.display(description=_("time"))
    def when(self, event: RoomEvent) -> str:
        return moment(event.at)


@admin.register(Room)
class RoomAdmin(ModelAdmin):
    """Actions change the state, the form the bounds, both while the room runs; seed and counters cannot be edited."""

    list_display = (
        "show",
        "state",
        "opens_at",
        "issued",
        "serving",
        "waiting",
        "came",
        "skipped",
        "left",
        "pace",
        "sold_out",
    )
    list_filter = ("state",)
    search_fields = ("show",)
    actions = ("collect", "open_now", "pause", "drain", "close", "start_over")
    inlines = (RoomEventInline,)
    readonly_fields = (
        "state", "epoch", "seed_hash", "revealed", "drawn", "issued", "serving", "waiting", "came", "skipped", "left",
        "pace", "sold_out", "seen_at",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("show", "opens_at", "state", "epoch")}),
        (
            _("Now"),
            {
                "fields": (
                    "issued", "serving", "waiting", "came", "skipped", "left", "pace", "sold_out", "seen_at",
                )
            },
        ),
        (
            _("Bounds"),
            {
                "fields": (
                    "pace_min", "pace_max", "max_inside", "capacity", "claim_window_s", "pass_life_s", "polls_per_s",
                )
            },
        ),
        (_("Draw"), {"fields": ("seed_hash", "drawn", "revealed")}),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "show") if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Room, form: ModelForm[Any], change: bool) -> None:
        if not change:
            obj.save()
            return
        bounds = {name: form.cleaned_data[name] for name in form.changed_data if name in steering.BOUNDS}
        if not bounds:
            return
        try:
            steering.adjust(show=obj.show, actor=request.user.get_username(), now=timezone.now(), **bounds)  # noqa: TID251 - a page
        except (ValidationError, steering.NotNow) as error:
            self.message_user(request, f"{obj.show}: {error}", messages.ERROR)

    # -- what the store says now ---------------------------------------------------------------------------------
    def _now(self, room: Room) -> dict[str, int]:
        """Read once per row and request."""
        seen: dict[str, int] | None = getattr(room, "_counters", None)
        if seen is None:
            seen = pacing.counters(room)
            room._counters = seen  # type: ignore[attr-defined]
        return seen

    @admin.display(description=_("numbers given out"))
    def issued(self, room: Room) -> str:
        return _shown(self._now(room), "issued")

    @admin.display(description=_("let in up to place"))
    def serving(self, room: Room) -> str:
        return _shown(self._now(room), "serving")

    @admin.display(description=_("waiting"))
    def waiting(self, room: Room) -> str:
        return _shown(self._now(room), "waiting")

    @admin.display(description=_("came"))
    def came(self, room: Room) -> str:
        return _shown(self._now(room), "claims")

    @admin.display(description=_("did not come"))
    def skipped(self, room: Room) -> str:
        return _shown(self._now(room), "skipped")

    @admin.display(description=_("left the line"))
    def left(self, room: Room) -> str:
        return _shown(self._now(room), "left")

    @admin.display(description=_("buyers let in a minute"))
    def pace(self, room: Room) -> str:
        return _shown(self._now(room), "pace_per_minute")

    @admin.display(description=_("revealed seed"))
    def revealed(self, room: Room) -> str:
        return room.revealed_seed or "—"

    # -- the levers --------------------------------------------------------------------------------------------------
    def _pull(self, request: HttpRequest, rooms: QuerySet[Room], verb: Verb) -> None:
        for room in rooms.order_by("pk"):
            try:
                moved = verb(show=room.show, actor=request.user.get_username(), now=timezone.now())  # noqa: TID251
            except (steering.NotNow, ValidationError) as error:
                self.message_user(
                    request, f"{room.show}: {_('not possible now')} ({error})", messages.WARNING
                )
            else:
                self.message_user(request, f"{room.show}: {moved.get_state_display()}", messages.SUCCESS)

    @admin.action(description=_("Let buyers in to wait for the draw"), permissions=("change",))
    def collect(self, request: HttpRequest, queryset: QuerySet[Room]) -> None:
        self._pull(request, queryset, steering.collect)

    @admin.action(description=_("Open now (draws, if that was not done)"), permissions=("change",))
    def open_now(self, request: HttpRequest, queryset: QuerySet[Room]) -> None:
        self._pull(request, queryset, steering.open_room)

    @admin.action(description=_("Pause: let nobody more in for now"), permissions=("change",))
    def pause(self, request: HttpRequest, queryset: QuerySet[Room]) -> None:
        self._pull(request, queryset, steering.pause)

    @admin.action(description=_("Drain: let nobody join, and those who wait in"), permissions=("change",))
    def drain(self, request: HttpRequest, queryset: QuerySet[Room]) -> None:
        self._pull(request, queryset, steering.drain)

    @admin.action(description=_("Close"), permissions=("change",))
    def close(self, request: HttpRequest, queryset: QuerySet[Room]) -> None:
        self._pull(request, queryset, steering.close)

    @admin.action(description=_("Start over: every number becomes void"), permissions=("change",))
    def start_over(self, request: HttpRequest, queryset: QuerySet[Room]) -> None:
        self._pull(request, queryset, steering.start_over)


def _shown(counters: dict[str, int], name: str) -> str:
    return f"{counters[name]:,}" if name in counters else "—"
