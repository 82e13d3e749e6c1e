"""
The app on a buyer's phone: one request at a time, repeated as an app on a bad network must.

A lost connection, 429, 503 and a 409 that says when to come again are repeated with the same Idempotency-Key after
`Retry-After`; every other answer is final. So whatever the network does, the buyer ends with one answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from operations.crowd.tally import CHANNEL, SHOP, Tally

PATIENCE_S = 90.0
ANSWER_WITHIN_S = 30.0
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 3.0, 5.0)
"""Between two tries where the server did not say how long to wait."""


class OutOfPatience(Exception):
    """No final answer within `PATIENCE_S`: for this buyer the shop was down."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: `data` is its JSON object, empty if it had none."""

    status: int
    data: dict[str, Any] = field(default_factory=dict)
    retry_after: float | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        return str(self.data.get("code", ""))

    @property
    def asks_to_come_again(self) -> bool:
        return self.status in (429, 503) or (self.status == 409 and self.retry_after is not None)


@dataclass(slots=True)
class Phone:
    """One buyer's app. `session` is shared by the crowd: it bounds the connections."""

    session: aiohttp.ClientSession
    shop_url: str
    token: str
    tally: Tally
    dice: random.Random
    patience_s: float = PATIENCE_S
    keys_made: int = 0

    def new_key(self) -> str:
        """A key for a new intent, made before the first try."""
        self.keys_made += 1
        return f"{self.dice.getrandbits(64):016x}-{self.keys_made}"

    async def get(self, step: str, path: str) -> Answer:
        return await self.ask(step, "GET", path)

    async def post(self, step: str, path: str, body: dict[str, Any], *, key: str = "") -> Answer:
        return await self.ask(step, "POST", path, body=body, key=key or self.new_key())

    async def ask(
        self, step: str, method: str, path: str, *, body: dict[str, Any] | None = None, key: str = ""
    ) -> Answer:
        """
        The final answer to one request.

        :raises OutOfPatience: see there
        """
        give_up_at = time.monotonic() + self.patience_s
        tries = 0
        while True:
            answer = await self.once(step, method, path, body=body, key=key)
            if answer is not None and not answer.asks_to_come_again and not _is_failure(answer, tries):
                return answer
            if time.monotonic() > give_up_at:
                raise OutOfPatience(f"{step}: {answer.status if answer else 'no connection'}")
            self.tally.counts["retries"] += 1
            await asyncio.sleep(self._pause_s(answer, tries))
            tries += 1

    def _pause_s(self, answer: Answer | None, tries: int) -> float:
        told = answer.retry_after if answer is not None else None
        pause = PAUSES_S[min(tries, len(PAUSES_S) - 1)] if told is None else told
        # Everybody who was told the same second would otherwise come back in the same instant.
        return pause * self.dice.uniform(1.0, 1.3)

    async def once(
        self, step: str, method: str, path: str, *, body: dict[str, Any] | None = None, key: str = ""
    ) -> Answer | None:
        """One try: whatever came back, None if the connection was lost."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if key:
            headers["Idempotency-Key"] = key
        began_at = time.monotonic()
        try:
            async with self.session.request(
                method, f"{self.shop_url}/api/v1/{path}", json=body, headers=headers
            ) as response:
                answer = read(response, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.tally.dropped(host=SHOP, step=step, error=type(error).__name__)
            return None
        self.tally.answered(
            host=SHOP,
            step=step,
            status=answer.status,
            code=answer.code,
            seconds=time.monotonic() - began_at,
        )
        return answer


def _is_failure(answer: Answer, tries: int) -> bool:
    """A 500 may be tried again, twice: an app cannot know that it is a defect."""
    return answer.status >= 500 and tries < 2


def read(response: aiohttp.ClientResponse, raw: bytes) -> Answer:
    data: Any = {}
    if "json" in response.headers.get("Content-Type", ""):
        try:
            data = json.loads(raw)
        except ValueError:
            data = {}
    return Answer(
        status=response.status,
        data=data if isinstance(data, dict) else {"items": data},
        retry_after=_seconds(response.headers.get("Retry-After")),
        headers={
            name: response.headers[name] for name in ("Idempotent-Replayed",) if name in response.headers
        },
    )


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return 1.0


def open_session(*, at_once: int) -> aiohttp.ClientSession:
    """The crowd's connections: at most `at_once` in flight to each host, no cookies, no proxy."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=at_once, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


__all__ = ["CHANNEL", "SHOP", "Answer", "OutOfPatience", "Phone", "open_session", "read"]
