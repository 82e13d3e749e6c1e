"""
What is offered: organisers and their events, venues with their rows, shows, sale phases and price tiers.

Who has it is in `ticketing.models`, which names these tables too.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _


class Bilingual(models.Model):
    """A thing with a Chinese and an English name; `name` is the reader's."""

    name_zh = models.CharField(_("Chinese name"), max_length=120)
    name_en = models.CharField(_("English name"), max_length=120)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return self.name_en if (get_language() or "").startswith("en") else self.name_zh


class Organiser(Bilingual):
    """Who puts on events; `code` is the owner of its merchant account in the ledger."""

    code = models.SlugField(unique=True, max_length=40)
    # What the platform keeps of a show's money when it is settled; a show that was settled keeps its rate.
    fee_bps = models.PositiveIntegerField(
        _("fee (basis points)"), default=500, db_default=500, validators=[MaxValueValidator(10_000)]
    )

    class Meta:
        verbose_name = _("organiser")
        verbose_name_plural = _("organisers")
        constraints = [
            models.CheckConstraint(
                name="ticketing_organiser_fee", condition=Q(fee_bps__gte=0, fee_bps__lte=10_000)
            )
        ]


class Venue(Bilingual):
    """Where shows take place."""

    code = models.SlugField(unique=True)
    city_zh = models.CharField(max_length=60)
    city_en = models.CharField(max_length=60)
    address = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("venue")
        verbose_name_plural = _("venues")

    @property
    def city(self) -> str:
        return self.city_en if (get_language() or "").startswith("en") else self.city_zh


class Section(Bilingual):
    """A part of a venue: a block of the inner field or a stand of the outer ring."""

    class Zone(models.TextChoices):
        INNER = "inner", _("inner field")
        OUTER = "outer", _("outer ring")

    venue = models.ForeignKey(Venue, on_delete=models.PROTECT, related_name="sections")
    code = models.CharField(max_length=12)
    zone = models.CharField(max_length=8, choices=Zone)
    position = models.IntegerField(default=0)

    class Meta:
        verbose_name = _("section")
        verbose_name_plural = _("sections")
        ordering = ["position", "code"]
        constraints = [models.UniqueConstraint(name="ticketing_section_code", fields=["venue", "code"])]


class Row(models.Model):
    """A row of a section. `rank` orders the rows of a venue from best to worst view."""

    section = models.ForeignKey(Section, on_delete=models.PROTECT, related_name="rows")
    label = models.CharField(max_length=8)
    rank = models.IntegerField()
    seats = models.IntegerField()

    class Meta:
        verbose_name = _("row")
        verbose_name_plural = _("rows")
        constraints = [models.UniqueConstraint(name="ticketing_row_label", fields=["section", "label"])]

    def __str__(self) -> str:
        return f"{self.section_id}/{self.label}"


class Event(Bilingual):
    """What is put on: one or more shows."""

    organiser = models.ForeignKey(Organiser, on_delete=models.PROTECT, related_name="events")
    slug = models.SlugField(unique=True)
    about_zh = models.TextField(blank=True)
    about_en = models.TextField(blank=True)
    published = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")

    @property
    def about(self) -> str:
        return self.about_en if (get_language() or "").startswith("en") else self.about_zh


class Show(models.Model):
    """One evening of an event at a venue."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="shows")
    venue = models.ForeignKey(Venue, on_delete=models.PROTECT, related_name="shows")
    code = models.SlugField(unique=True)
    starts_at = models.DateTimeField()
    doors_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    # It does not take place (ticketing.cancelling); who cancelled it and why stands in its ShowCancellation.
    cancelled_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("show")
        verbose_name_plural = _("shows")
        ordering = ["starts_at"]
        constraints = [
            models.CheckConstraint(name="ticketing_show_ends_later", condition=Q(ends_at__gt=F("starts_at")))
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def over_at(self) -> datetime:
        """Its end; its beginning if nobody said when it ends."""
        return self.ends_at or self.starts_at


class SalePhase(models.Model):
    """When who may buy how many. The phases of a show do not overlap (a database constraint, migration 0002)."""

    class Kind(models.TextChoices):
        REHEARSAL = "rehearsal", _("rehearsal")
        PRESALE = "presale", _("presale")
        GENERAL = "general", _("general sale")

    class Eligibility(models.TextChoices):
        EVERYONE = "everyone", _("everyone")
        INVITED = "invited", _("invited buyers")
        ACCOUNT_AGE = "account_age", _("accounts older than a number of days")

    show = models.ForeignKey(Show, on_delete=models.PROTECT, related_name="phases")
    kind = models.CharField(max_length=12, choices=Kind)
    opens_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    per_buyer_limit = models.IntegerField(default=4)
    eligibility = models.CharField(max_length=12, choices=Eligibility, default=Eligibility.EVERYONE)
    account_age_days = models.IntegerField(default=0)

    class Meta:
        verbose_name = _("sale phase")
        verbose_name_plural = _("sale phases")
        ordering = ["opens_at"]
        constraints = [
            models.CheckConstraint(
                name="ticketing_salephase_opens_first", condition=Q(closes_at__gt=F("opens_at"))
            ),
            models.CheckConstraint(
                name="ticketing_salephase_limit_positive", condition=Q(per_buyer_limit__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.show_id} {self.kind}"


class Invitation(models.Model):
    """A buyer who may buy in a phase for invited buyers."""

    phase = models.ForeignKey(SalePhase, on_delete=models.CASCADE, related_name="invitations")
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [models.UniqueConstraint(name="ticketing_invitation_once", fields=["phase", "buyer"])]

    def __str__(self) -> str:
        return f"{self.phase_id} {self.buyer_id}"


class PriceTier(Bilingual):
    """Seats of one price. `rank` orders the tiers of a show from best to worst view."""

    show = models.ForeignKey(Show, on_delete=models.PROTECT, related_name="tiers")
    code = models.CharField(max_length=12)
    rank = models.IntegerField()
    price_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3, default="CNY")
    colour = models.CharField(max_length=7, default="#888888")

    class Meta:
        verbose_name = _("price tier")
        verbose_name_plural = _("price tiers")
        ordering = ["rank"]
        constraints = [
            models.UniqueConstraint(name="ticketing_pricetier_code", fields=["show", "code"]),
            models.CheckConstraint(name="ticketing_pricetier_price_positive", condition=Q(price_minor__gt=0)),
        ]
