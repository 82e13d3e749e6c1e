"""Typed, bounded values from the environment. A value out of bounds stops the start, with its name and its bounds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def flag(name: str, default: bool) -> bool:
    raw = os.environ.get(name)
    if raw is None:
        return default
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off", ""}:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r}: write true or false")


def integer(name: str, *, default: int, low: int, high: int) -> int:
    raw = os.environ.get(name)
    try:
        value = default if raw is None else int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r}: write a whole number from {low} to {high}") from None
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name}={value}: it must be from {low} to {high}")
    return value


def number(name: str, *, default: float, low: float, high: float) -> float:
    raw = os.environ.get(name)
    try:
        value = default if raw is None else float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r}: write a number from {low} to {high}") from None
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name}={value}: it must be from {low} to {high}")
    return value


def numbers(name: str, default: Sequence[float]) -> tuple[float, ...]:
    """A rising or level schedule of seconds, written `1,2,5,10`."""
    raw = os.environ.get(name)
    if raw is None:
        return tuple(default)
    try:
        values = tuple(float(part) for part in raw.split(","))
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r}: write seconds with commas, like 1,2,5") from None
    if any(value <= 0 for value in values):
        raise ImproperlyConfigured(f"{name}={raw!r}: every step must be above zero")
    return values


def one_server(url: str, otherwise: str) -> str:
    """`url`, or where that is a Redis Cluster what the environment says under the name `otherwise`."""
    if not url.startswith("redis+cluster://"):
        return url
    if not text(otherwise):
        raise ImproperlyConfigured(f"{otherwise}: name one Redis server, where REDIS_URL is a cluster")
    return text(otherwise)


def words(name: str, default: Sequence[str] = ()) -> list[str]:
    raw = os.environ.get(name)
    return list(default) if raw is None else [word.strip() for word in raw.split(",") if word.strip()]


def counts(name: str, default: dict[str, int], *, high: int) -> dict[str, int]:
    """Whole numbers by name, written `alipay=6000,wechat=5400`; empty for none."""
    raw = os.environ.get(name)
    if raw is None:
        return dict(default)
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in raw.split(","))):
        key, _, value = part.partition("=")
        if not key or not value.isdecimal() or int(value) > high:
            raise ImproperlyConfigured(f"{name}={raw!r}: write name=number with commas, up to {high}")
        found[key] = int(value)
    return found


def secret(name: str, *, development: str, production: bool) -> str:
    """A secret has a throwaway value in development and no default in production, where that value is refused."""
    value = os.environ.get(name, "")
    if value and not (production and value == development):
        return value
    if value:
        raise ImproperlyConfigured(f"{name} is the value for development, which everybody knows")
    if production:
        raise ImproperlyConfigured(
            f"{name} is not set; production needs its own secret (50 random characters)"
        )
    return development


def secrets(name: str, *, development: str, production: bool) -> list[str]:
    """Several, written with commas; as `secret`."""
    values = words(name)
    if production and development in values:
        raise ImproperlyConfigured(f"{name} holds the value for development, which everybody knows")
    return values


def file_or_text(name: str) -> str:
    """A PEM: the text itself, or the path of a file that holds it."""
    value = os.environ.get(name, "")
    if value and not value.lstrip().startswith("-----BEGIN"):
        return Path(value).read_text()
    return value


def files(name: str) -> dict[str, str]:
    """Texts by name, written `name=path,name=path`."""
    pairs = [pair.split("=", 1) for pair in words(name)]
    if any(len(pair) != 2 for pair in pairs):
        raise ImproperlyConfigured(f"{name}: write name=path, several with commas")
    return {key: Path(path).read_text() for key, path in pairs}


def database(url: str) -> dict[str, object]:
    """`postgresql://user:password@host:port/name`; a Unix socket as `postgresql://user@/name?host=/socket/dir`."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured("DATABASE_URL must start with postgresql://")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or query.get("user", "")),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host", parts.hostname or ""),
        "PORT": str(parts.port or query.get("port", "")),
    }
