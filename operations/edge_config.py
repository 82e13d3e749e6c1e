"""
What an nginx edge is made of, and its configuration rendered from `deploy/nginx/` below one state directory.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "deploy" / "nginx"
MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
NEEDED = {
    "nginx": "nginx",
    "ngx_http_lua_module.so": "libnginx-mod-http-lua",
    "nginx/redis.lua": "lua-nginx-redis",
    "cjson.so": "lua-cjson",
}
CLUSTER, REDIS_PORT = "redis+cluster", 6379
STORE_CONNECT_MS = 200


class EdgeError(Exception):
    """The edge cannot run; the message says why."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `per_second` from one address (0: any number); closed while the store is away, unless `open_if_away`."""

    scope: str
    methods: tuple[str, ...]
    path: str  # a Lua pattern
    per_second: int
    open_if_away: bool


READS, WRITES = ("GET", "HEAD"), ("POST", "PUT", "PATCH", "DELETE")


def usual_limits(*, reads: int = 200, writes: int = 50) -> list[Limit]:
    """
    Placing an order is closed while the store is away; everything else is Django's to decide. The numbers are for
    addresses behind which a mobile carrier may have hundreds of customers; buyers are limited by Django.
    """
    return [
        Limit("orders", ("POST",), "^/api/v1/orders$", writes, False),
        Limit("orders", ("POST",), "^/events/[^/]+/$", writes, False),
        Limit("orders", ("POST",), "^/shows/[^/]+/sections/[^/]+/$", writes, False),
        Limit("writes", WRITES, "^/", writes, True),
        Limit("reads", READS, "^/", reads, True),
    ]


@dataclass(frozen=True, slots=True)
class Edge:
    """What an edge is made of. `upstream` is granian's host:port; sizes are for one machine."""

    state: Path
    listen: str
    upstream: str
    redis_url: str
    workers: int = 1
    connections: int = 8192
    upstream_slots: int = 64  # twice granian's threads or so: more only wait longer inside
    backlog: int = 4096
    static: Path = ROOT / "staticfiles"
    pages: Path | None = None  # pre-rendered pages; by default below the state directory
    limits: Sequence[Limit] = field(default_factory=usual_limits)
    trust: Sequence[str] = ()
    tls: tuple[Path, Path] | None = None  # certificate chain and key
    user: str = ""  # of the workers, where root starts them; by default whoever starts them
    polls_per_second: int = 10  # of one queue number
    access_log: bool = True
    log_level: str = "warn"
    extra: str = ""  # more of the server block, for tests and measurements

    @property
    def url(self) -> str:
        host = self.listen if ":" in self.listen else f"127.0.0.1:{self.listen}"
        return f"{'https' if self.tls else 'http'}://{host}"

    @property
    def conf(self) -> Path:
        return self.state / "nginx.conf"

    @property
    def shared_pages(self) -> Path:
        return self.pages or self.state / "pages"


def missing() -> list[str]:
    """The Debian packages that the edge needs and that are not here."""
    here = {
        "nginx": binary() is not None,
        "libnginx-mod-http-lua": any((place / "ngx_http_lua_module.so").exists() for place in MODULES),
        "lua-nginx-redis": Path("/usr/share/lua/5.1/nginx/redis.lua").exists(),
        "lua-cjson": any(Path("/usr/lib").glob("*/lua/5.1/cjson.so")),
    }
    return [package for package in NEEDED.values() if not here[package]]


def binary() -> str | None:
    # An ordinary user's PATH often has no sbin in it.
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def render(edge: Edge) -> Path:
    """
    Write the configuration; the path of nginx.conf.

    :raises EdgeError: a package is missing
    """
    if missing():
        raise EdgeError(
            f"not installed: {' '.join(missing())} (Debian: apt-get install {' '.join(missing())})"
        )
    for name in ("tmp", "cache", "lua/kaipiao", "locations"):
        (edge.state / name).mkdir(parents=True, exist_ok=True)
    edge.shared_pages.mkdir(parents=True, exist_ok=True)
    _write(edge.conf, _filled((TEMPLATES / "edge.conf").read_text(), edge))
    _write(edge.state / "proxy.conf", (TEMPLATES / "proxy.conf").read_text())
    for old in (edge.state / "locations").glob("*.conf"):
        old.unlink()
    for template in sorted((TEMPLATES / "locations").glob("*.conf")):
        _write(edge.state / "locations" / template.name, _filled(template.read_text(), edge))
    _write(edge.state / "lua" / "kaipiao" / "config.lua", _lua_config(edge), secret=True)
    return edge.conf


CSP = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
PAGE_HEADERS = f"""add_header Cache-Control "public, max-age=0, s-maxage=5";
            add_header Vary "Accept-Language, Cookie";
            add_header X-Request-ID $kaipiao_request_id;
            add_header X-Content-Type-Options nosniff;
            add_header X-Frame-Options DENY;
            add_header Referrer-Policy same-origin;
            add_header Content-Security-Policy "{CSP}";"""


def _filled(text: str, edge: Edge) -> str:
    values = {
        "STATE": edge.state,
        "LUA": TEMPLATES / "lua",
        "MODULES": next((place for place in MODULES if place.exists()), MODULES[0]),
        "MIME_TYPES": "/etc/nginx/mime.types",
        "USER": _user_line(edge),
        "WORKERS": edge.workers,
        "CONNECTIONS": edge.connections,
        "FILES": edge.connections * 2 + 256,
        "LISTEN": edge.listen + (" ssl http2" if edge.tls else ""),
        "BACKLOG": edge.backlog,
        "UPSTREAM": edge.upstream,
        "POLLS": edge.polls_per_second,
        "UPSTREAM_SLOTS": edge.upstream_slots,
        "STATIC": edge.static,
        "PAGES": edge.shared_pages,
        "PAGE_HEADERS": PAGE_HEADERS,
        "ACCESS_LOG": f"{edge.state}/access.log kaipiao buffer=64k flush=1s" if edge.access_log else "off",
        "LOG_LEVEL": edge.log_level,
        "STORE_CONNECT_MS": STORE_CONNECT_MS,
        "STORE_MS": int(settings().REDIS_TIMEOUT_S * 1000),
        "TLS": _tls(edge),
        "TRUST": _trust(edge),
        "EXTRA": edge.extra,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _user_line(edge: Edge) -> str:
    """An ordinary user's nginx stays that user; root's workers need a name, and must be able to reach the store."""
    if os.geteuid() != 0:
        return ""
    return f"user {edge.user or pwd.getpwuid(0).pw_name};"


def _tls(edge: Edge) -> str:
    if edge.tls is None:
        return ""
    chain, key = edge.tls
    return (
        f"        ssl_certificate {chain};\n        ssl_certificate_key {key};\n"
        "        ssl_protocols TLSv1.2 TLSv1.3;\n        ssl_session_cache shared:tls:10m;\n"
        "        ssl_session_timeout 1h;\n        ssl_session_tickets off;"
    )


def _trust(edge: Edge) -> str:
    if not edge.trust:
        return ""
    lines = [f"        set_real_ip_from {network};" for network in edge.trust]
    return "\n".join([*lines, "        real_ip_header X-Forwarded-For;", "        real_ip_recursive on;"])


def _lua_config(edge: Edge) -> str:
    """Keys and addresses as a Lua table. The product's secret is not in it: only what was derived for the edge."""
    found = settings()
    from risk import signing
    from ticketing.rush import receipts

    facts: dict[str, Any] = {
        "public_url": found.PUBLIC_URL,
        "keys": {
            purpose: signing.keys_of(purpose)
            for purpose in (signing.QUEUE_NUMBER, signing.ADMISSION_PASS, receipts.PURPOSE)
        },
        "redis": _redis(edge.redis_url),
        "scripts": {
            "room": str(ROOT / "risk" / "lua" / "room.lua"),
            "limit": str(ROOT / "risk" / "lua" / "limit.lua"),
            "risk": str(ROOT / "risk" / "lua"),
            "ticketing": str(ROOT / "ticketing" / "lua"),
        },
        "pages": str(TEMPLATES / "pages"),
        "limits": [
            {
                "scope": limit.scope,
                "methods": dict.fromkeys(limit.methods, True),
                "path": limit.path,
                "per_second": limit.per_second,
                "open_if_away": limit.open_if_away,
            }
            for limit in edge.limits
        ],
    }
    return f"-- Written by `scripts/edge render`; holds keys.\nreturn {_lua(facts)}\n"


def _redis(url: str) -> dict[str, Any]:
    """Where the store is, as `deploy/nginx/lua/node.lua` wants it; a cluster by any of its nodes."""
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    facts: dict[str, Any] = {"db": 0, "cluster": parts.scheme == CLUSTER}
    if parts.password:
        facts["password"] = unquote(parts.password)
    if facts["cluster"]:
        return {**facts, "nodes": [_host_and_port(one) for one in parts.netloc.rpartition("@")[2].split(",")]}
    facts["db"] = int(query.get("db") or (parts.path.strip("/") if parts.scheme != "unix" else "") or 0)
    if parts.scheme == "unix":
        facts["socket"] = parts.path
    else:
        facts |= {"host": parts.hostname, "port": parts.port or REDIS_PORT}
    return {**facts, "pool": f"{facts.get('socket') or facts.get('host')}:{facts['db']}"}


def _host_and_port(text: str) -> list[Any]:
    one = urlsplit(f"//{text}")
    return [one.hostname, one.port or REDIS_PORT]


def _lua(value: Any) -> str:
    """A Python value as a Lua constructor; JSON's strings are Lua's, as long as they are plain."""
    match value:
        case dict():
            return "{" + ", ".join(f"[{_lua(key)}] = {_lua(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "{" + ", ".join(_lua(item) for item in value) + "}"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            return json.dumps(str(value), ensure_ascii=False)


def settings() -> Any:
    """Django's, also where nobody has named them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings as found

    return found


def _write(path: Path, text: str, *, secret: bool = False) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
