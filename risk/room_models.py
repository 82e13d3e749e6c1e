"""
The waiting room of a show as staff steer it, and what a wiped store needs to be rebuilt: counters, seed, generation.

The room's hot state (who has which number) lives in the fast store and in the buyers' signed numbers alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from risk import draw

DRAWN_BY = "open"  # the action that draws, the first time in a generation


class RoomState(models.TextChoices):
    CLOSED = "closed", _("closed")
    DRAW = "draw", _("collecting for the draw")
    OPEN = "open", _("open")
    PAUSED = "paused", _("paused")
    DRAINING = "draining", _("draining")


class Room(models.Model):
    """
    One waiting room. `show` is the show's code; risk knows no more of a show.

    `epoch` counts generations: numbers of an older one are worth nothing. `drawn` is how many took part in the draw,
    null until the opening. The `_seen` columns are what the pacer last saw in the fast store.
    """

    show = models.SlugField(_("show"), unique=True)
    state = models.CharField(_("state"), max_length=10, choices=RoomState, default=RoomState.CLOSED)
    opens_at = models.DateTimeField(_("opens at"))
    epoch = models.IntegerField(_("generation"), default=1)
    seed = models.CharField(max_length=64, default=draw.new_seed, editable=False)
    seed_hash = models.CharField(_("published hash of the seed"), max_length=64, editable=False)
    drawn = models.BigIntegerField(_("took part in the draw"), null=True, editable=False)

    pace_min = models.FloatField(_("slowest pace, buyers a second"), default=20)
    pace_max = models.FloatField(_("fastest pace, buyers a second"), default=2000)
    max_inside = models.IntegerField(_("buyers inside at most"), default=5000)
    capacity = models.BigIntegerField(_("waiting at most (0: no bound)"), default=0)
    claim_window_s = models.IntegerField(_("seconds to come when it is one's turn"), default=120)
    pass_life_s = models.IntegerField(_("seconds that a pass lives"), default=600)
    polls_per_s = models.IntegerField(_("polls a second that the edge may get"), default=20_000)

    issued_safe = models.BigIntegerField(default=0, editable=False)
    serving_seen = models.BigIntegerField(default=0, editable=False)
    floor_seen = models.BigIntegerField(default=0, editable=False)
    came_seen = models.BigIntegerField(default=0, editable=False)
    sold_out = models.BooleanField(_("sold out"), default=False, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("waiting room")
        verbose_name_plural = _("waiting rooms")
        constraints = [
            models.CheckConstraint(
                name="risk_room_pace_bounds", condition=Q(pace_min__gt=0) & Q(pace_max__gte=F("pace_min"))
            ),
            models.CheckConstraint(
                name="risk_room_bounds_positive",
                condition=Q(max_inside__gt=0, capacity__gte=0, claim_window_s__gt=0, pass_life_s__gt=0)
                & Q(polls_per_s__gt=0, epoch__gt=0),
            ),
            models.CheckConstraint(name="risk_room_state_known", condition=Q(state__in=RoomState.values)),
        ]

    def __str__(self) -> str:
        return self.show

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.seed_hash = draw.hash_of(self.seed)
        super().save(*args, **kwargs)

    @property
    def revealed_seed(self) -> str:
        """The seed once the draw is over; before, nobody is shown it."""
        return self.seed if self.drawn is not None else ""

    @property
    def is_in_front(self) -> bool:
        """
        Whether the show is sold by turns: from the moment buyers are let in to wait, until staff start over. Closing an
        opened room keeps new buyers out; it does not let everybody past it.
        """
        return self.state != RoomState.CLOSED or self.drawn is not None

    @property
    def opened_at(self) -> datetime:
        """When this generation was really drawn, which staff may do earlier or later than announced; else the plan."""
        drawn = self.events.filter(action=DRAWN_BY, facts__has_key="drawn").order_by("-at").first()
        return drawn.at if drawn is not None and self.drawn is not None else self.opens_at


class RoomEvent(models.Model):
    """Who did what to a room. Append-only."""

    room = models.ForeignKey(Room, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(_("at"))
    actor = models.CharField(_("by"), max_length=64)
    action = models.CharField(_("action"), max_length=24)
    facts = models.JSONField(_("facts"), default=dict, blank=True)

    class Meta:
        verbose_name = _("event of a waiting room")
        verbose_name_plural = _("events of waiting rooms")
        indexes = [models.Index(fields=["room", "-at"], name="risk_roomevent_room_at")]

    def __str__(self) -> str:
        return f"{self.room_id} {self.action}"
