"""House and sandbox as processes, and a client that behaves as one must: no answer means the same request again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from operations import devservices
from tests.crash.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
DATABASE, REDIS_DB = "kaipiao_crash", 8
TRIES_MAX = 12
READY_S = 60


class Town:
    """Everything that one crash run needs. Its database is made anew."""

    def __init__(self, directory: Path, *, buyers: int) -> None:
        self.plan = Plan(directory / "plan.json")
        self.http = httpx2.Client(trust_env=False, timeout=20)
        self._ports = {"house": _free_port(), "sandbox": _free_port()}
        self.url, self.sandbox_url = (
            f"http://127.0.0.1:{self._ports[name]}" for name in ("house", "sandbox")
        )
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        self._prepare()
        self._secrets = self.staff("set_the_stage", buyers=buyers)

    # -- life --------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        devservices.up()
        devservices.drop_database(DATABASE)
        devservices.create_database(DATABASE)
        devservices.empty_redis_db(devservices.redis_url(REDIS_DB))
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"],
            cwd=ROOT,
            env=self._environment(),
            check=True,
        )
        keys, plan = str(self._directory / "keys"), str(self.plan.path)
        self._start("sandbox", str(self._ports["sandbox"]), str(self._directory / "books"), keys, plan)
        self._start("house", str(self._ports["house"]), plan)

    def _start(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"tests.crash.{name}", *arguments]
        log = (self._directory / f"{name}.log").open("wb")
        process = subprocess.Popen(
            command, cwd=ROOT, env=self._environment(), stdout=log, stderr=log, start_new_session=True
        )
        self._processes.append(process)
        end = time.monotonic() + READY_S
        while not _listens(self._ports[name]):
            assert process.poll() is None, (self._directory / f"{name}.log").read_text()[-3000:]
            assert time.monotonic() < end, f"{name} does not become ready"
            time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": devservices.database_url(DATABASE),
            "REDIS_URL": devservices.redis_url(REDIS_DB),
            "KAIPIAO_PUBLIC_URL": self.url,
            "KAIPIAO_SANDBOX_URL": self.sandbox_url,
            "KAIPIAO_CHANNEL_KEYS_DIR": str(self._directory / "keys"),
            "KAIPIAO_LOG_LEVEL": "ERROR",
            "CHANNEL_TIMEOUT_S": "3",
            "PAYMENT_QUERY_SCHEDULE_S": "5,60,600",  # few rounds to the end
        }

    def close(self) -> None:
        for process in reversed(self._processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        devservices.drop_database(DATABASE)

    # -- the roles ---------------------------------------------------------------------------------------------

    def a_buyer(self) -> Buyer:
        return Buyer(self, self._secrets.pop())

    def staff(self, what: str, **asked: Any) -> Any:
        answer = self.http.post(f"{self.url}/_staff/{what}", json=asked, timeout=60)
        assert answer.status_code == 200, (self._directory / "house.log").read_text()[-3000:]
        return answer.json()

    def work(self, *tasks: str) -> None:
        """Deliver tasks to a worker; one that dies before its ack leaves the message to the next."""
        for task in tasks:
            for _ in range(TRIES_MAX):
                try:
                    answer = self.http.post(f"{self.url}/_task/{task}")
                    assert answer.status_code == 204, (self._directory / "house.log").read_text()[-3000:]
                    break
                except httpx2.TransportError:
                    continue
            else:
                raise AssertionError(f"{task} was never acknowledged")

    def drain(self) -> None:
        self.work("payments.tasks.drain_notifications", "payments.tasks.drain_outbox")

    def at_the_sandbox(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """A request to the sandbox, repeated while it is down."""
        url = path if path.startswith("http") else f"{self.sandbox_url}{path}"
        for _ in range(200):
            try:
                return self.http.request(method, url, **request)
            except httpx2.TransportError:
                time.sleep(0.02)
        raise AssertionError("the sandbox does not come back")

    def wait_for_notifies(self, *, within_s: float = 15.0) -> None:
        """Until the sandbox owes no notification any more."""
        end = time.monotonic() + within_s
        while self.at_the_sandbox("GET", "/_control/notifies?number=-").json()["pending"]:
            assert time.monotonic() < end, "notifications are still owed"
            time.sleep(0.02)

    def rest(self) -> None:
        """Nobody dies any more, time passes, and everything must become final with nobody's help."""
        self.wait_for_notifies()
        books = self.at_the_sandbox("GET", "/_control/books").json()["channels"]
        # What is refunded now is only in the books afterwards: look again.
        for _ in range(3):
            net = {code: row["net_minor"] for code, row in books.items()}
            found = self.staff("let_time_pass", channels=net)
            self.wait_for_notifies()
            again = self.at_the_sandbox("GET", "/_control/books").json()["channels"]
            if again == books and not found["wrong"]:
                return
            books = again
        assert found["wrong"] == []


class Buyer:
    """A buyer with a telephone on a bad network."""

    def __init__(self, town: Town, secret: str) -> None:
        self.town = town
        self._headers = {"Authorization": f"Bearer {secret}"}
        self.answers: list[tuple[str, dict[str, Any]]] = []

    def post(self, path: str, body: dict[str, Any] | None = None, *, keyed: bool = True) -> dict[str, Any]:
        """POST until it is answered 2xx; the same key each time, and patience where the answer asks for it."""
        headers = self._headers | ({"Idempotency-Key": uuid4().hex} if keyed else {})
        for _ in range(TRIES_MAX):
            try:
                answer = self.town.http.post(
                    f"{self.town.url}/api/v1/{path}", json=body or {}, headers=headers
                )
            except httpx2.TransportError:
                continue
            if 200 <= answer.status_code < 300:
                return answer.json()
            if answer.status_code == 409 and answer.json()["code"] == "idempotency_in_flight":
                self.town.plan.pass_time(seconds=31)
                continue
            raise Refused(answer.status_code, answer.text)
        raise AssertionError(f"{path} is never answered")

    def get(self, path: str) -> dict[str, Any]:
        for _ in range(TRIES_MAX):
            try:
                answer = self.town.http.get(f"{self.town.url}/api/v1/{path}", headers=self._headers)
            except httpx2.TransportError:
                continue
            assert answer.status_code == 200, answer.text
            return answer.json()
        raise AssertionError(f"{path} is never answered")

    def order(self, **wanted: Any) -> str:
        body = {"show": "crash", "tier": "UPPER", "quantity": 1} | wanted
        return str(self.post("orders", body)["number"])

    def pay(self, number: str, channel: str) -> dict[str, Any]:
        """
        Fetch a token for the order (or the top-up) and press Pay.

        :raises Refused: it cannot be paid any more
        """
        kind, page = ("topup", "wallet/topups") if number.startswith("W") else ("order", "orders")
        offer = self.post(f"{page}/{number}/payment-token", keyed=False)
        if not offer["token"]:
            if offer["payment"]:
                return dict(offer["payment"])
            raise Refused(offer["refusal"])
        return self.post("payments", {kind: number, "channel": channel, "token": offer["token"]})

    def pay_at_the_cashier(self, payment: dict[str, Any]) -> bool:
        """Go to the channel's page, as soon as there is one, and pay; whether the money was taken."""
        for _ in range(TRIES_MAX):
            if payment["cashier"] or payment["state"] not in ("created", "unknown"):
                break
            self.town.plan.pass_time(seconds=10)
            try:
                payment = self.pay(payment["purchase"]["number"], payment["channel"])
            except Refused:
                return False
        if payment["channel"] == "alipay" and payment["cashier"]:
            self.town.at_the_sandbox("GET", payment["cashier"]["url"], follow_redirects=True)
        path = f"/cashier/{payment['channel']}/{payment['number']}/pay"
        answer = self.town.at_the_sandbox("POST", path, headers={"Accept": "application/json"})
        return answer.status_code == 200


class Refused(Exception):
    """The product answered, and said no."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
