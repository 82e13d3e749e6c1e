"""Who works at the desk: the reader, his colleagues, and what he may do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest

from accounts.models import User
from basis.requests import is_key
from desk.models import SavedView

LISTED = 200
VIEWS = 40


def me(request: HttpRequest) -> int:
    """The reader's key; the admin site lets nobody in without one."""
    return int(request.user.pk or 0)


def staff() -> list[User]:
    """Whom a case can be given to."""
    return list(User.objects.filter(is_staff=True, is_active=True).order_by("handle")[:LISTED])


def named(person: Any) -> str:
    """A colleague's name; "" for nobody."""
    return (person.name or person.handle) if person else ""


def views(request: HttpRequest) -> list[SavedView]:
    """The reader's own views and those that colleagues share."""
    found = SavedView.objects.filter(Q(owner_id=me(request)) | Q(shared=True)).order_by("name")
    return list(found[:VIEWS])


def chosen(request: HttpRequest, word: str) -> User | None:
    """The colleague that a form names: `me`, or a key; None for nobody, and for whom nothing can be given to."""
    if word == "me":
        word = str(me(request))
    if not is_key(word):
        return None
    return User.objects.filter(pk=int(word), is_staff=True, is_active=True).first()
