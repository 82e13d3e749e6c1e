"""The services' addresses, in the two forms that the settings read; computed, never asked of a server."""

import os
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from operations.devservices.places import paths

DATABASE = "kaipiao"
SUPERUSER = "kaipiao"


def database_url(name: str | None = None) -> str:
    """`DATABASE_URL` or the embedded Postgres; with `name`, another database on the same server."""
    external = os.environ.get("DATABASE_URL")
    if not external:
        return (
            f"postgresql://{SUPERUSER}@/{quote(name or DATABASE)}?host={quote(str(paths().postgres_sockets))}"
        )
    if name is None:
        return external
    return _joined(urlsplit(external)._replace(path=f"/{quote(name)}"))


def redis_url(db: int | None = None) -> str:
    """`REDIS_URL` or the embedded Valkey; with `db`, another numbered database on the same server."""
    external = os.environ.get("REDIS_URL")
    if not external:
        return f"unix://{quote(str(paths().valkey_socket))}?db={db or 0}"
    if db is None:
        return external
    parts = urlsplit(external)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    if parts.scheme == "unix" or "db" in query:
        return _joined(parts._replace(query=urlencode({**query, "db": str(db)})))
    return _joined(parts._replace(path=f"/{db}"))


def database_config(name: str | None = None) -> dict[str, str]:
    """The same as an entry of Django's DATABASES."""
    parts = urlsplit(database_url(name))
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or query.get("user", "")),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host") or parts.hostname or "",
        "PORT": str(parts.port or query.get("port", "")),
    }


def names_our_postgres() -> bool:
    """Whether `DATABASE_URL` is unset or was itself made here, as in a test that wants another database."""
    external = os.environ.get("DATABASE_URL")
    return not external or database_config()["HOST"] == str(paths().postgres_sockets)


def names_our_valkey() -> bool:
    """The same for `REDIS_URL`."""
    external = os.environ.get("REDIS_URL")
    return not external or unquote(urlsplit(external).path) == str(paths().valkey_socket)


def _joined(parts: SplitResult) -> str:
    """Like `urlunsplit`, which forgets the `//` before an empty host."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else "")
