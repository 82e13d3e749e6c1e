"""Deeds are posted. Who was signed out in between comes back from the sign-in page by a GET: he is told, and led on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _


def posted(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view for a POST; for anything else the case or the inbox that it belongs to, where nothing was done."""

    @wraps(view)
    def guarded(request: HttpRequest, **found: Any) -> HttpResponse:
        if request.method == "POST":
            return view(request, **found)
        messages.warning(request, _("Nothing was done: you were signed out in between. Please do it again."))
        about_case = "pk" in found and view.__name__ != "forget_view"
        name, args = ("case_change", [found["pk"]]) if about_case else ("case_changelist", [])
        return HttpResponseRedirect(reverse(f"admin:desk_{name}", args=args))

    return guarded
