"""
The fast store (Redis or Valkey). It accelerates and never decides: every caller has a way that needs only Postgres,
and says with `FastStoreAway` handling what it does while the store is away.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

FastStoreAway = redis.exceptions.RedisError

# A store that stays silent costs every question the whole timeout. For this long after one such answer nobody asks;
# then one caller finds out, and the others go on without.
AWAY_S = 1.0


class Store(redis.Redis):
    """A client that remembers for `AWAY_S` that the store is away."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._asking = threading.Lock()
        self._away_until = 0.0  # by the monotonic clock; 0 while the store answers

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """
        :raises FastStoreAway: it does not answer, or did not a moment ago
        """
        if not self._may_ask():
            raise redis.exceptions.ConnectionError("the fast store did not answer a moment ago")
        try:
            answer = super().execute_command(*args, **options)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            self._away_until = time.monotonic() + AWAY_S
            raise
        self._away_until = 0.0
        return answer

    def _may_ask(self) -> bool:
        if not self._away_until:
            return True
        with self._asking:
            if time.monotonic() < self._away_until:
                return False
            self._away_until = time.monotonic() + AWAY_S
            return True


CLUSTER = "redis+cluster://"
# Bytes that are no UTF-8 were not written by us: read as such, they stop one message and not whoever reads the rest.
SPOILT = "replace"


@lru_cache(maxsize=1)
def store() -> redis.Redis:
    """The process's one connection pool; `redis+cluster://host:port,host:port` names some nodes of a Redis Cluster."""
    if settings.REDIS_URL.startswith(CLUSTER):
        # The same commands: every key of ours has a hash tag, and no script mixes two of them.
        who, _, nodes = settings.REDIS_URL.removeprefix(CLUSTER).rpartition("@")
        found = [urlsplit(f"//{node}") for node in nodes.split("/")[0].split(",")]
        return redis.RedisCluster(  # type: ignore[return-value]
            startup_nodes=[ClusterNode(one.hostname or "127.0.0.1", one.port or 6379) for one in found],
            password=unquote(who.partition(":")[2]) or None,
            socket_timeout=settings.REDIS_TIMEOUT_S,
            socket_connect_timeout=settings.REDIS_TIMEOUT_S,
            decode_responses=True,
            encoding_errors=SPOILT,
        )
    return Store.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_TIMEOUT_S,
        socket_connect_timeout=settings.REDIS_TIMEOUT_S,
        decode_responses=True,
        encoding_errors=SPOILT,
        # One try: the client's own retries would hold a buyer for seconds while nobody listens.
        retry=Retry(NoBackoff(), 0),
    )
