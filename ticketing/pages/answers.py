"""How pages answer: redirects after a post, what is kept out of caches, and where a visitor may be sent on to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from accounts.models import User

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


class SeeOther(HttpResponseRedirect):
    """After a post: get the result over there. A reload repeats the get, never the post."""

    status_code = 303


def personal(view: View[P]) -> View[P]:
    """The page is for one signed-in buyer: sign in first, and no cache may keep it."""
    return never_cache(login_required(view))


def unkept(view: View[P]) -> View[P]:
    """The page has something of its visitor in it, signed in or not: no cache may keep it."""

    return never_cache(view)


def buyer_of(request: HttpRequest) -> User:
    """Who is signed in, on a `personal` page."""
    return cast(User, request.user)


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "") == "application/json"


def safe_next(request: HttpRequest, target: str | None, default: str = "/") -> str:
    """`target`, if it is a page of ours; else `default`. Never another site, never a script."""
    ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if target and ours else default
