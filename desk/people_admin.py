"""
Accounts and groups in the admin site, with a line in the trail for everything that somebody does to them: who may do
what at the desk is decided there. `desk.approve` reads those lines, too: who was given his rights or his password by
the maker of a request is not the second person.
"""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin import GroupAdmin, UserAdmin
from accounts.models import User
from desk import trail
from desk.pages import acting


class Trailed:
    """Django's own log of the admin site says the same, but the database lets it be changed, and nobody exports it."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _note("account_made", request, obj, message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _note("account_changed", request, obj, message)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            _note("account_deleted", request, obj, "")
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def _note(action: str, request: HttpRequest, obj: User | Group, message: Any) -> None:
    """In the transaction of the page that did it."""
    trail.write(
        action,
        by=acting.person(request),
        now=timezone.now(),  # noqa: TID251 - a page
        subject=trail.account(obj) if isinstance(obj, User) else f"group {obj.name}",
        facts={"changed": _fields(message), **_rights(obj)},
    )


def _fields(message: Any) -> Any:
    """What was changed, by the names of the form's fields; Django tells it as a list or as its JSON."""
    try:
        told = json.loads(message) if isinstance(message, str) else message
    except ValueError:
        return message
    return [name for one in told or () for name in one.get("changed", {}).get("fields", ())]


def _rights(obj: User | Group) -> dict[str, Any]:
    """What the account may do now."""
    if isinstance(obj, Group):
        return {"rights": _codes(obj.permissions.all())}
    return {
        "staff": obj.is_staff,
        "superuser": obj.is_superuser,
        "active": obj.is_active,
        "groups": sorted(group.name for group in obj.groups.all()),
        "rights": _codes(obj.user_permissions.all()),
    }


def _codes(rights: Any) -> list[str]:
    found = rights.values_list("content_type__app_label", "codename") if rights.model is Permission else ()
    return sorted(f"{label}.{codename}" for label, codename in found)


class TrailedUserAdmin(Trailed, UserAdmin):
    pass


class TrailedGroupAdmin(Trailed, GroupAdmin):
    pass


for model, page in ((User, TrailedUserAdmin), (Group, TrailedGroupAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, page)
