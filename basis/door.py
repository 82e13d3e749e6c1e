"""
Doors that somebody may guard: an app says "somebody wants to sign in", and whoever was put in charge when the
application started lets it pass or raises a problem. Nobody in charge: it passes.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from basis.problems import define

# What a guard may answer besides "too many" and "away".
CODES = ("denied", "challenge_required")
define("denied", status=403, title=_("This request was refused"))
define("challenge_required", status=403, title=_("A small piece of work is asked for first"), retryable=True)

Guard = Callable[[HttpRequest, str], None]
_guards: list[Guard] = []


def put_in_charge(guard: Guard) -> None:
    """Called once, when the application starts."""
    _guards[:] = [guard]


def ask(request: HttpRequest, purpose: str) -> None:
    """
    :raises basis.problems.Problem: the guard refuses, and says what to do
    """
    for guard in _guards:
        guard(request, purpose)
