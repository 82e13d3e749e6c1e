"""
Tokens: how a program signs in, and what it may do.

`Authorization: Bearer kp_…`. The digest finds the row (one query, the user with it); 40 random characters
need no slow hash. `SignedInWithScope` denies first: a token may use a method of a view only if the view names
a scope for it and the token holds that scope.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiToken, User
from basis import prepared
from basis.built import Built
from basis.problems import AUTHENTICATE, Problem

MARK = "kp_"
SECRET_LENGTH = len(MARK) + 40
PREFIX_LENGTH = 8
BULK_BATCH = 1000

SCOPES: dict[str, Any] = {
    "orders:read": _("See orders"),
    "orders:write": _("Place and cancel orders"),
    "payments:read": _("See payments and refunds"),
    "payments:write": _("Start payments"),
    "wallet:read": _("See the wallet"),
    "wallet:write": _("Top up and withdraw"),
    "tickets:read": _("See tickets"),
    "account:read": _("See the account and its tokens"),
    "account:write": _("Change the account, issue and revoke tokens"),
}


class UnknownScope(ValueError):
    """No such scope in `SCOPES`."""


class ScopeMissing(Problem):
    """The token is good, but was not issued for this."""

    code = "scope_missing"
    status = 403
    title = _("The token was not issued for this")


# -- issue and revoke
# -------------------------------------------------------------------------------------------------
def issue_token(
    *, user: User, name: str, scopes: Iterable[str], now: datetime, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """
    A new token and its secret, which exists nowhere else: show it once.

    :raises UnknownScope: a scope is not in `SCOPES`
    """
    secret = new_secret()
    token = _token(
        user=user, secret=secret, name=name, scopes=checked_scopes(scopes), now=now, expires_at=expires_at
    )
    token.save(force_insert=True)
    return token, secret


def issue_tokens_in_bulk(
    users: Sequence[User],
    scopes: Iterable[str],
    now: datetime,
    *,
    name: str = "bulk",
    expires_at: datetime | None = None,
) -> list[str]:
    """
    One token for each of `users`; the secrets in their order. For simulators and migrations of thousands.

    :raises UnknownScope: a scope is not in `SCOPES`
    """
    granted = checked_scopes(scopes)
    issued = [new_secret() for _user in users]
    ApiToken.objects.bulk_create(
        [
            _token(user=user, secret=secret, name=name, scopes=granted, now=now, expires_at=expires_at)
            for user, secret in zip(users, issued, strict=True)
        ],
        batch_size=BULK_BATCH,
    )
    return issued


def revoke_token(*, token_id: int, user: User, now: datetime) -> bool:
    """
    From now on the token opens nothing. False: this user has no such token. Revoking twice changes nothing.
    """
    mine = ApiToken.objects.filter(pk=token_id, user=user)
    return bool(mine.filter(revoked_at=None).update(revoked_at=now)) or mine.exists()


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    granted = sorted(set(scopes))
    for scope in granted:
        if scope not in SCOPES:
            raise UnknownScope(scope)
    return granted


def new_secret() -> str:
    return MARK + secrets.token_urlsafe(30)


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(*, user: User, secret: str, **fields: Any) -> ApiToken:
    created_at = fields.pop("now")
    return ApiToken(
        user=user, digest=digest_of(secret), prefix=secret[:PREFIX_LENGTH], created_at=created_at, **fields
    )


# -- sign in with one
# -------------------------------------------------------------------------------------------------
class TokenAuthentication(BaseAuthentication):
    """One query; on the first request of a day one more, which notes the day."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _space, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        now = timezone.now()  # noqa: TID251  # the edge of the API: DRF hands no clock down to it
        token = self._find(secret.strip())
        if token is None or not token.is_live(now=now) or not token.user.is_active:
            # One answer for all, so that nobody learns which tokens once existed.
            raise AuthenticationFailed(_("The token is unknown, expired or revoked."))
        note_use(token, now=now)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return AUTHENTICATE

    def _find(self, secret: str) -> ApiToken | None:
        if len(secret) != SECRET_LENGTH or not secret.startswith(MARK) or not secret.isascii():
            return None
        return _with_user(digest_of(secret))


# The contacts stay closed: hardly any request of a program needs them, and opening costs.
CLOSED = {"phone", "email"}


@cache
def _lookup() -> tuple[str, Built[ApiToken], Built[User]]:
    """The statement that finds a token with its user; it is what select_related would ask, made once."""
    token, owner = Built(ApiToken, alias="token"), Built(User, alias="owner", closed=CLOSED)
    statement = (
        f"SELECT {token.columns}, {owner.columns} FROM {ApiToken._meta.db_table} token"  # noqa: S608 (names of our own models)
        f" JOIN {User._meta.db_table} owner ON owner.id = token.user_id WHERE token.digest = %s"
    )
    return statement, token, owner


def _with_user(digest: str) -> ApiToken | None:
    statement, mine, owner = _lookup()
    row = prepared.row(statement, [digest])
    if row is None:
        return None
    token = mine.of(row[: len(mine)])
    token.user = owner.of(row[len(mine) :])
    return token


def note_use(token: ApiToken, *, now: datetime) -> None:
    """Remember the day of the last use: one write per token and day, none on the day's other requests."""
    today = now.date()
    if token.last_used_on != today:
        ApiToken.objects.filter(pk=token.pk).update(last_used_on=today)
        token.last_used_on = today


def signed_in(request: Request) -> User:
    """
    The user behind `request`, typed; behind `SignedInWithScope` it cannot fail.

    :raises NotAuthenticated: nobody is signed in
    """
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


class SignedInWithScope(BasePermission):
    """
    Anonymous: 401, unless the view sets `public = True`. Signed in by session: everything a buyer may. By
    token: only what `view.scopes` names for the method (`{"GET": "orders:read", "POST": "orders:write"}`) and
    the token holds.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if getattr(view, "public", False):
            return True
        if not request.user.is_authenticated:
            return False
        if not isinstance(request.auth, ApiToken):
            return True
        return self._token_may(request.auth, str(request.method), view)

    def _token_may(self, token: ApiToken, method: str, view: Any) -> bool:
        needed = getattr(view, "scopes", {}).get("GET" if method == "HEAD" else method)
        if needed is None:
            if not hasattr(view, method.lower()):
                return True  # Nobody may: the view answers 405 and names the methods that there are.
            raise ScopeMissing(detail=_("Tokens may not do this; sign in instead."))
        if needed not in token.scopes:
            raise ScopeMissing(
                detail=_("The token needs the scope %(scope)s.") % {"scope": needed}, scope=needed
            )
        return True
