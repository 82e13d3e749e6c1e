"""
The running product, really hit: web, worker, beat and sandbox killed by their pids, Postgres restarted immediately,
Valkey wiped and killed, all while a hundred buyers order and pay. Then nobody touches anything, and all must be well.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from django.db import connections

from operations import devservices
from operations.stack import Stack

pytestmark = [pytest.mark.crash, pytest.mark.stack, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
BUYERS, AT_ONCE = 100, 25
REST_S = 200
PATIENCE_S = 150
# The product's clocks, shortened: what takes minutes takes seconds.
HASTE = {
    "ORDER_HOLD_SECONDS": "30",
    "ORDER_HOLD_LIMIT_SECONDS": "45",
    "PAYMENT_WINDOW_SECONDS": "30",
    "PAYMENT_QUERY_SCHEDULE_S": "1,1,2,2,3",
    "REFUND_SCHEDULE_S": "1,1,2,2,3",
    "OUTBOX_LEASE_SECONDS": "3",
    "IDEMPOTENCY_LEASE_SECONDS": "3",
    "KAIPIAO_BEAT_TICK_S": "0.5",
    "CHANNEL_TIMEOUT_S": "3",
    "KAIPIAO_LOG_LEVEL": "WARNING",
}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    found = devservices.status()
    if not (found["postgres"]["managed"] and found["valkey"]["managed"]):
        if os.environ.get("KAIPIAO_REQUIRE_ALL") == "1":
            pytest.fail("Postgres or Valkey is somebody else's: it is not ours to kill")
        pytest.skip("Postgres or Valkey is somebody else's: it is not ours to kill")
    running = Stack(
        database="kaipiao_crash_stack",
        redis_db=5,
        fresh=True,
        state_dir=tmp_path,
        env=HASTE,
        worker_processes=1,
        sandbox_time_factor=60.0,
    )
    with running:
        yield running
    devservices.up()
    devservices.drop_database("kaipiao_crash_stack")
    for connection in connections.all(initialized_only=True):
        connection.close_pool()  # Postgres was restarted under them


def staff(stack: Stack, what: str, **asked: Any) -> Any:
    command = [sys.executable, "-m", "tests.crash.staff", what, json.dumps(asked)]
    done = subprocess.run(
        command, cwd=ROOT, env=stack.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


class Buyer:
    """Orders and pays, and repeats what was not answered, until there is nothing more to do."""

    def __init__(self, stack: Stack, secret: str, channel: str) -> None:
        self.api, self.sandbox = f"{stack.url}/api/v1", stack.sandbox_url
        self.channel = channel
        self.secret = secret
        self.until = time.monotonic() + PATIENCE_S
        self.order = ""
        self.told_paid = False
        self.trouble = 0

    def go(self) -> None:
        with httpx2.Client(trust_env=False, timeout=8) as self.http:
            body = {"show": "crash", "tier": "UPPER", "quantity": 1}
            order = self.post("orders", body)
            if order is None:
                return
            self.order = order["number"]
            payment = self.pay()
            if payment is None or self.channel == "wallet":
                self.told_paid = payment is not None and payment["state"] == "succeeded"
                return
            self.visit_the_cashier(payment)

    def pay(self) -> dict[str, Any] | None:
        offer = self.post(f"orders/{self.order}/payment-token", {})
        if offer is None or not offer["token"]:
            return None
        return self.post("payments", {"order": self.order, "channel": self.channel, "token": offer["token"]})

    def visit_the_cashier(self, payment: dict[str, Any]) -> None:
        while not payment["cashier"] and payment["state"] in ("created", "unknown"):
            if time.monotonic() > self.until:
                return
            time.sleep(0.5)
            again = self.pay()
            if again is None:
                return
            payment = again
        if payment["cashier"] and self.channel == "alipay":
            self.repeat(lambda: self.http.get(payment["cashier"]["url"], follow_redirects=True))
        page = f"{self.sandbox}/cashier/{self.channel}/{payment['number']}/pay"
        self.repeat(lambda: self.http.post(page, headers={"Accept": "application/json"}))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer once there is a good one; None when the product says no."""
        headers = {"Authorization": f"Bearer {self.secret}", "Idempotency-Key": uuid4().hex}
        answer = self.repeat(lambda: self.http.post(f"{self.api}/{path}", json=body, headers=headers))
        return answer.json() if answer is not None and answer.status_code < 300 else None

    def repeat(self, ask: Callable[[], httpx2.Response]) -> httpx2.Response | None:
        """Ask until there is an answer that is neither silence nor "come back"."""
        while time.monotonic() < self.until:
            try:
                answer = ask()
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.status_code < 500 and not answer.headers.get("Retry-After"):
                return answer
            self.trouble += 1
            time.sleep(0.2 + random.random() * 0.4)
        return None


def hit(stack: Stack, chance: random.Random) -> Iterator[str]:
    """Blow after blow, in an order drawn once; each leaves time to come back, or does not."""

    def killed(name: str) -> Callable[[], object]:
        return lambda: stack.kill(name)

    blows: list[tuple[str, Callable[[], object]]] = [
        ("web killed", killed("web")),
        ("worker killed", killed("worker")),
        ("sandbox killed", killed("sandbox")),
        ("beat killed", killed("beat")),
        ("Postgres restarted", lambda: devservices.restart_postgres(immediate=True)),
        ("Valkey wiped", devservices.wipe_valkey),
        ("Valkey killed", lambda: (devservices.kill_valkey(), devservices.up())),
        ("worker killed again", killed("worker")),
        ("sandbox killed again", killed("sandbox")),
        ("web killed again", killed("web")),
    ]
    chance.shuffle(blows)
    for name, blow in blows:
        time.sleep(1.0 + chance.random())
        blow()
        stack.wait_ready()
        yield name


def test_everything_is_killed_under_load_and_everything_ends_well(stack: Stack) -> None:
    chance = random.Random(36)
    secrets = staff(stack, "set_the_stage", buyers=BUYERS)
    channels = ("wallet", "alipay", "wechat")
    buyers = [Buyer(stack, secret, channels[place % 3]) for place, secret in enumerate(secrets)]
    waiting = iter(buyers)
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                buyer = next(waiting, None)
            if buyer is None:
                return
            buyer.go()
            time.sleep(0.5)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    told = list(hit(stack, chance))
    for thread in threads:
        thread.join(timeout=PATIENCE_S * 2)
        assert not thread.is_alive()

    left = ["not asked"]
    end = time.monotonic() + REST_S
    while left and time.monotonic() < end:
        time.sleep(2)
        left = [line for line in staff(stack, "at_rest") if "a handler failed" not in line]
    assert left == []
    assert staff(stack, "audited") == []
    states = staff(stack, "standing", numbers=[buyer.order for buyer in buyers if buyer.order])
    for buyer in buyers:
        if buyer.order:
            assert buyer.order in states, "an order that was answered is gone"
        if buyer.told_paid:
            assert states[buyer.order] == "paid", "a payment that was answered is gone"
    books = httpx2.get(f"{stack.sandbox_url}/_control/books").json()["channels"]
    assert staff(stack, "owed_by_channels") == {
        code: books[code]["net_minor"] for code in ("alipay", "wechat")
    }
    count = {state: list(states.values()).count(state) for state in set(states.values())}
    assert count.get("paid", 0) > BUYERS / 2, count
    print(
        f"\n{', '.join(told)}; orders: {count}; requests repeated: {sum(buyer.trouble for buyer in buyers)}"
    )
