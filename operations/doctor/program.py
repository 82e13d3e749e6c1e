"""The program itself: versions, and settings that are dangerous where it runs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from django.conf import settings
from django.core import checks

from operations.doctor.findings import Finding, failure, judged, warning, well

PYTHON_AT_LEAST = (3, 11)
TOLD = ("django", "djangorestframework", "celery", "redis", "psycopg", "django-unfold", "cryptography")


def versions() -> Iterator[Finding]:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    worse = sys.version_info < PYTHON_AT_LEAST
    yield judged("python", found, "Python 3.11 or newer is needed", bad=worse, worse=worse)
    told, gone = [], []
    for name in TOLD:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            gone.append(name)
    if gone:
        yield failure("packages", f"not installed: {', '.join(gone)}", "install requirements/ again")
    else:
        yield well("packages", ", ".join(told))


def dangerous_settings() -> Iterator[Finding]:
    """What nobody may leave on in production. In development only what is dangerous there is told."""
    found = list(_dangers())
    for what, do in found:
        yield judged("settings", what, do, bad=True, worse=settings.PRODUCTION)
    if not found:
        yield well(
            "settings", "nothing dangerous is set" + ("" if settings.PRODUCTION else " for development")
        )


def _dangers() -> Iterator[tuple[str, str]]:
    if settings.DEBUG:
        yield "KAIPIAO_DEBUG is on: errors show settings and data", "unset KAIPIAO_DEBUG"
    if "*" in settings.ALLOWED_HOSTS:
        yield "KAIPIAO_ALLOWED_HOSTS allows every host", "name the hosts"
    if settings.ORDER_HOLD_LIMIT < settings.ORDER_HOLD:
        yield (
            "ORDER_HOLD_LIMIT_SECONDS is below ORDER_HOLD_SECONDS",
            "a payment in flight prolongs nothing: raise it",
        )
    if settings.OUTBOX_LEASE.total_seconds() < 3 * settings.CHANNEL_TIMEOUT_S:
        do = "raise OUTBOX_LEASE_SECONDS above three calls of a channel, or two drainers do the same work"
        yield "OUTBOX_LEASE_SECONDS is shorter than a slow channel", do
    if settings.PRODUCTION:
        yield from _dangers_of_production()


def _dangers_of_production() -> Iterator[tuple[str, str]]:
    if settings.SANDBOX_URL:
        yield "KAIPIAO_SANDBOX_URL is set: money would be play money", "unset it"
    if not settings.PUBLIC_URL.startswith("https://"):
        yield "KAIPIAO_PUBLIC_URL is not https", "channels notify this address: give it https"
    if not settings.SECURE_SSL_REDIRECT:
        yield "KAIPIAO_SSL_REDIRECT is off", "turn it on, or make sure that the proxy redirects"
    if settings.SECURE_HSTS_SECONDS == 0:
        yield "KAIPIAO_HSTS_SECONDS is 0", "set it to a year once https works everywhere"
    if not settings.SESSION_COOKIE_SECURE:
        yield "session cookies go over plain http", "set SESSION_COOKIE_SECURE"
    if len(settings.SECRET_KEY) < 50:
        yield "KAIPIAO_SECRET_KEY is short", "use 50 random characters or more"


def system_checks() -> Iterator[Finding]:
    """Django's own checks, with those for deployment in production."""
    messages = checks.run_checks(include_deployment_checks=settings.PRODUCTION)
    found = [message for message in messages if not message.is_silenced()]
    for message in found:
        told = f"{message.id}: {message.msg}"
        do = str(message.hint or "see Django's documentation of this check")
        yield failure("checks", told, do) if message.is_serious() else warning("checks", told, do)
    if not found:
        yield well("checks", "Django's system checks find nothing")
