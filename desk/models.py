"""
What the staff work on: cases, what was done about them, who approved it, and the trail of all of it.

A case names its subject by kind and number and repeats what the inbox sorts and filters by; every other fact is read
where it belongs (desk.facts). Histories, resolutions and the trail are append-only in the database itself.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from basis import lifecycle


class Queue(models.TextChoices):
    """Who owns a type of case."""

    OPERATIONS = "operations", _("operations")
    FINANCE = "finance", _("finance")
    RISK = "risk", _("risk")


class CaseState(models.TextChoices):
    OPEN = "open", pgettext_lazy("case", "open")  # somebody must decide
    APPROVAL = "approval", _("waiting for approval")  # a second person must decide
    ACTED = "acted", _("acted on, watched")  # done what was decided; the cause is still there for now
    RESOLVED = "resolved", _("resolved")  # the cause is gone after somebody acted
    GONE = "gone", _("gone by itself")  # the cause is gone and nobody acted
    EXPLAINED = "explained", _("explained")  # the cause stays, and a person said why that is right


INBOX_STATES = (CaseState.OPEN, CaseState.APPROVAL)
ACTIVE_STATES = (*INBOX_STATES, CaseState.ACTED)


class Case(models.Model):
    """
    Something that a person must decide. `kind` is a code of desk.types, (`subject_kind`, `subject`) what it is about,
    e.g. ("payment", "P0…"). `amount_minor` is the money at risk; `since` is when the cause began, `due_at` when its age
    limit is reached. `weight` grows with money × age (desk.detect) and sorts the inbox. `cause` is a digest of what was
    found: an explanation holds for the same cause only.
    """

    number = models.CharField(max_length=32, unique=True)
    kind = models.CharField(max_length=32)
    subject_kind = models.CharField(max_length=16)
    subject = models.CharField(max_length=96)
    state = models.CharField(max_length=16, choices=CaseState, default=CaseState.OPEN)
    queue = models.CharField(max_length=16, choices=Queue)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    channel = models.CharField(max_length=16, blank=True)
    purchase_kind = models.CharField(max_length=16, blank=True)
    purchase_number = models.CharField(max_length=32, blank=True)
    payment_number = models.CharField(max_length=32, blank=True)
    amount_minor = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    since = models.DateTimeField()
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()
    weight = models.IntegerField(default=0)
    suggested = models.CharField(max_length=32, blank=True)
    cause = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    watch_until = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        permissions = [
            ("assign_case", "Can give cases to somebody"),
            ("resolve_operations", "Can resolve cases of the queue operations"),
            ("resolve_finance", "Can resolve cases of the queue finance"),
            ("resolve_risk", "Can resolve cases of the queue risk"),
            ("approve_resolution", "Can approve what somebody else asked for"),
            ("export_trail", "Can export the trail"),
        ]
        indexes = [
            models.Index(
                fields=["-weight", "id"], name="desk_case_inbox", condition=Q(state__in=INBOX_STATES)
            ),
            models.Index(
                fields=["kind", "-weight", "id"],
                name="desk_case_inbox_kind",
                condition=Q(state__in=INBOX_STATES),
            ),
            models.Index(
                fields=["queue", "-weight", "id"],
                name="desk_case_inbox_queue",
                condition=Q(state__in=INBOX_STATES),
            ),
            models.Index(
                fields=["owner", "-weight", "id"],
                name="desk_case_inbox_owner",
                condition=Q(state__in=INBOX_STATES),
            ),
            models.Index(
                fields=["channel", "-weight", "id"],
                name="desk_case_inbox_channel",
                condition=Q(state__in=INBOX_STATES),
            ),
            models.Index(
                fields=["due_at", "id"], name="desk_case_inbox_due", condition=Q(state__in=INBOX_STATES)
            ),
            models.Index(
                fields=["since", "id"], name="desk_case_inbox_since", condition=Q(state__in=INBOX_STATES)
            ),
            models.Index(
                fields=["-amount_minor", "id"],
                name="desk_case_inbox_money",
                condition=Q(state__in=INBOX_STATES),
            ),
            models.Index(fields=["kind", "subject"], name="desk_case_subject"),
            models.Index(
                fields=["purchase_number"], name="desk_case_purchase", condition=~Q(purchase_number="")
            ),
            models.Index(
                fields=["payment_number"], name="desk_case_payment", condition=~Q(payment_number="")
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                name="desk_case_one_active", fields=["kind", "subject"], condition=Q(closed_at=None)
            ),
            models.CheckConstraint(
                name="desk_case_closed_has_time",
                condition=Q(state__in=ACTIVE_STATES, closed_at=None)
                | (~Q(state__in=ACTIVE_STATES) & Q(closed_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES


class CaseEvent(lifecycle.LifecycleEvent):
    """A case's history."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="events")

    class Meta:
        verbose_name = _("case event")
        verbose_name_plural = _("case events")


CASE_LIFECYCLE = lifecycle.Lifecycle(
    name="case",
    subject="case",
    event=CaseEvent,
    moves=lifecycle.moves(
        {
            CaseState.OPEN: [
                *(CaseState.APPROVAL, CaseState.ACTED, CaseState.RESOLVED),
                *(CaseState.GONE, CaseState.EXPLAINED),
            ],
            # Approved, rejected or withdrawn; or its cause went while it waited.
            CaseState.APPROVAL: [
                *(CaseState.OPEN, CaseState.ACTED, CaseState.RESOLVED),
                *(CaseState.GONE, CaseState.EXPLAINED),
            ],
            CaseState.ACTED: [CaseState.OPEN, CaseState.RESOLVED],
            CaseState.RESOLVED: [],
            CaseState.GONE: [],
            CaseState.EXPLAINED: [],
        }
    ),
)


class RequestState(models.TextChoices):
    WAITING = "waiting", _("waiting for a second person")
    APPROVED = "approved", _("approved and done")
    REJECTED = "rejected", _("rejected")
    WITHDRAWN = "withdrawn", _("withdrawn by its maker")
    STALE = "stale", _("overtaken: things changed since the preview")


class ResolutionRequest(models.Model):
    """
    A resolution that needs two people: `maker` asked for it with the preview that he saw, `checker` decides. The
    database refuses a checker who is the maker, whoever writes the row.
    """

    key = models.CharField(max_length=80, unique=True)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="requests")
    resolution = models.CharField(max_length=32)
    inputs = models.JSONField(default=dict, blank=True)
    preview = models.JSONField(default=dict)  # what the maker saw (desk.preview.Preview.as_json)
    fingerprint = models.CharField(max_length=64)
    amount_minor = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=16, choices=RequestState, default=RequestState.WAITING)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    checker = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    checked_at = models.DateTimeField(null=True, blank=True)
    check_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("request for approval")
        verbose_name_plural = _("requests for approval")
        indexes = [
            models.Index(
                fields=["made_at"], name="desk_request_waiting", condition=Q(state=RequestState.WAITING)
            )
        ]
        constraints = [
            models.UniqueConstraint(
                name="desk_request_one_waiting", fields=["case"], condition=Q(state=RequestState.WAITING)
            ),
            models.CheckConstraint(
                name="desk_request_two_people", condition=Q(checker=None) | ~Q(checker=F("maker"))
            ),
            models.CheckConstraint(
                name="desk_request_decided_by_somebody",
                condition=~Q(state__in=(RequestState.APPROVED, RequestState.REJECTED))
                | Q(checker__isnull=False, checked_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.case_id} {self.resolution}"


class RequestEvent(lifecycle.LifecycleEvent):
    """A request's history."""

    request = models.ForeignKey(ResolutionRequest, on_delete=models.PROTECT, related_name="events")

    class Meta:
        verbose_name = _("approval event")
        verbose_name_plural = _("approval events")


REQUEST_LIFECYCLE = lifecycle.Lifecycle(
    name="request",
    subject="request",
    event=RequestEvent,
    moves=lifecycle.moves(
        {
            RequestState.WAITING: [
                *(RequestState.APPROVED, RequestState.REJECTED),
                *(RequestState.WITHDRAWN, RequestState.STALE),
            ],
            RequestState.APPROVED: [],
            RequestState.REJECTED: [],
            RequestState.WITHDRAWN: [],
            RequestState.STALE: [],
        }
    ),
)


class Resolution(models.Model):
    """One resolution that was executed. Append-only; `key` is unique: pressing twice does it once."""

    key = models.CharField(max_length=80, unique=True)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="resolutions")
    resolution = models.CharField(max_length=32)
    inputs = models.JSONField(default=dict, blank=True)
    effects = models.JSONField(default=dict)  # what it did, in the shape of the preview
    reason = models.CharField(max_length=500)
    actor = models.CharField(max_length=64)
    approved_by = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("resolution")
        verbose_name_plural = _("resolutions")

    def __str__(self) -> str:
        return f"{self.case_id} {self.resolution}"


class TrailEntry(models.Model):
    """Who did what, when, from where, why. Append-only; nothing that the staff do is missing here."""

    at = models.DateTimeField(db_index=True)
    actor = models.CharField(max_length=64, db_index=True)
    action = models.CharField(max_length=32, db_index=True)
    case = models.ForeignKey(Case, null=True, blank=True, on_delete=models.PROTECT, related_name="trail")
    subject = models.CharField(max_length=96, blank=True, db_index=True)
    reason = models.CharField(max_length=500, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        verbose_name = _("trail entry")
        verbose_name_plural = _("trail")

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"


class SavedView(models.Model):
    """A person's filters of the inbox, by name; `shared` ones are everybody's to use."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=60)
    query = models.JSONField(default=dict)  # the parameters of desk.inbox.Filters
    shared = models.BooleanField(_("shared with the team"), default=False)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        constraints = [models.UniqueConstraint(name="desk_savedview_name", fields=["owner", "name"])]

    def __str__(self) -> str:
        return self.name


class InboxSums(models.Model):
    """The sums above the inbox as they were last taken (desk.inbox.Summary). One row, so that no page takes them."""

    sums = models.JSONField()
    taken_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="desk_inboxsums_one_row", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"{self.taken_at:%H:%M:%S}"


class GivenRight(models.Model):
    """A right (`app.codename`) that a role was given (desk.roles): what staff take away afterwards stays away."""

    role = models.CharField(max_length=32)
    right = models.CharField(max_length=160)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="desk_givenright_once", fields=["role", "right"])]

    def __str__(self) -> str:
        return f"{self.role} {self.right}"
