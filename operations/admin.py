"""
The pages of last resort: a model of ours that has no page of its own is shown as it is, to look at.

This app comes last, so every other app has registered its pages by now.
"""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.db import models

from basis import events
from basis.staff import LookOnlyAdmin

OURS = ("basis", "accounts", "wallet", "risk", "payments", "ticketing", "desk", "operations")
COLUMNS = 7
HIDDEN = (models.BinaryField, models.JSONField, models.TextField)


def plain_page(model: type[models.Model]) -> type[LookOnlyAdmin]:
    """A page with the model's first columns; what may hold a secret or fill the screen stays out."""
    fields = [
        field for field in model._meta.local_concrete_fields if not events.SECRET_KEYS.search(field.name)
    ]
    short = [field.name for field in fields if not isinstance(field, HIDDEN)]
    return type(
        f"{model.__name__}Admin",
        (LookOnlyAdmin,),
        {
            "list_display": tuple(short[:COLUMNS]),
            "list_select_related": tuple(
                field.name for field in fields if isinstance(field, models.ForeignKey) and field.name in short
            ),
            "fields": tuple(field.name for field in fields if not isinstance(field, models.BinaryField)),
        },
    )


for unshown in apps.get_models():
    if unshown._meta.app_label in OURS and not admin.site.is_registered(unshown):
        admin.site.register(unshown, plain_page(unshown))
