"""What risk remembers for good. Counters, queues and limits live in the fast store."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class BurnedToken(models.Model):
    """A payment token that was used. The unique nonce decides who used it; the fast store only knows it sooner."""

    nonce = models.CharField(max_length=32, unique=True)
    subject = models.CharField(max_length=48, db_index=True)
    buyer_id = models.BigIntegerField()
    burned_for = models.CharField(max_length=32)
    burned_at = models.DateTimeField()

    class Meta:
        verbose_name = _("burned payment token")
        verbose_name_plural = _("burned payment tokens")

    def __str__(self) -> str:
        return f"{self.subject} → {self.burned_for}"
