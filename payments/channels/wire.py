"""
One pooled HTTP client for a channel: short timeouts, a bounded answer, no retries, no surprises from the
environment. Files are written where the caller wants them, a piece at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import BinaryIO

import httpx2

ANSWER_BYTES_MAX = 1 << 18
CONNECTIONS_MAX = 64
# Shorter than any gateway's own idle limit, so that we rarely write into a connection which the other side
# closes.
KEEP_ALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """No whole answer came back. The request may or may not have been acted upon."""

    reason: str


class Wire:
    """
    Sends one request at a time for any number of threads. `total_s` bounds a whole exchange: the read timeout
    alone would let a gateway that drips bytes hold a thread for ever.
    """

    def __init__(self, *, connect_s: float, read_s: float) -> None:
        self._timeout = httpx2.Timeout(read_s, connect=connect_s, pool=connect_s)
        self._total_s = connect_s + 2 * read_s
        self._lock = Lock()
        self._client: httpx2.Client | None = None
        self._pid = 0

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer | Silence:
        try:
            return self._exchange(method, url, headers, body)
        except httpx2.TimeoutException as error:
            return Silence(f"timeout: {type(error).__name__}")
        except httpx2.RequestError as error:
            return Silence(f"network: {type(error).__name__}")

    def save(
        self, url: str, into: BinaryIO, *, headers: Mapping[str, str], bytes_max: int, total_s: float
    ) -> Answer | Silence:
        """Write the body of a 200 to `into` as it comes; any other answer's body is dropped."""
        try:
            return self._saved(url, into, headers, bytes_max, time.monotonic() + total_s)
        except httpx2.TimeoutException as error:
            return Silence(f"timeout: {type(error).__name__}")
        except httpx2.RequestError as error:
            return Silence(f"network: {type(error).__name__}")

    def _saved(
        self, url: str, into: BinaryIO, headers: Mapping[str, str], bytes_max: int, give_up_at: float
    ) -> Answer | Silence:
        size, asked = 0, {"Accept-Encoding": "identity", **headers}
        with self._own_client().stream("GET", url, headers=asked) as response:
            lowered = {name.lower(): value for name, value in response.headers.items()}
            for chunk in response.iter_raw() if response.status_code == 200 else ():
                size += into.write(chunk)
                if size > bytes_max:
                    return Silence("answer_too_large")
                if time.monotonic() > give_up_at:
                    return Silence("timeout: total")
            return Answer(response.status_code, lowered, b"")

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer | Silence:
        give_up_at = time.monotonic() + self._total_s
        asked = {"Accept-Encoding": "identity", **headers}
        with self._own_client().stream(method, url, headers=asked, content=body) as response:
            received = bytearray()
            for chunk in response.iter_bytes():
                received += chunk
                if len(received) > ANSWER_BYTES_MAX:
                    return Silence("answer_too_large")
                if time.monotonic() > give_up_at:
                    return Silence("timeout: total")
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, lowered, bytes(received))

    def _own_client(self) -> httpx2.Client:
        """This process's client. Sockets inherited over a fork would mix two processes' answers."""
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client, self._pid = self._fresh_client(), os.getpid()
            return self._client

    def _fresh_client(self) -> httpx2.Client:
        limits = httpx2.Limits(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEP_ALIVE_S,
        )
        return httpx2.Client(timeout=self._timeout, limits=limits, trust_env=False, follow_redirects=False)
