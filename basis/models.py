"""What every app shares and only the database can decide: which request with which key has been answered."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class IdempotencyRecord(models.Model):
    """
    One Idempotency-Key of one principal at one route: first a claim with a lease, then the outcome.

    `status` is null while the request is being executed. See `basis.idempotency`, the only writer.
    """

    principal = models.CharField(_("principal"), max_length=64)
    route = models.CharField(_("route"), max_length=200)
    key = models.CharField(_("key"), max_length=255)
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    body = models.TextField(_("body"), default="")
    headers = models.JSONField(_("headers"), default=dict)
    claimed_until = models.DateTimeField(_("claimed until"))
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [
            models.UniqueConstraint(
                fields=["principal", "route", "key"], name="basis_idempotency_one_per_key"
            ),
            models.CheckConstraint(
                condition=Q(status=None) | Q(status__gte=200, status__lt=500),
                name="basis_idempotency_final_status",
            ),
        ]
        # BRIN would do, but deletes by age also run on small tables; a plain index is never wrong.
        indexes = [models.Index(fields=["created_at"], name="basis_idempotency_age")]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"
