"""
The fast store (Redis or Valkey). It accelerates and never decides: every caller has a way that needs only Postgres,
and says with `FastStoreAway` handling what it does while the store is away.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
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
        return self._told(partial(super().execute_command, *args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        pipe = super().pipeline(transaction, shard_hint)
        execute = pipe.execute
        pipe.execute = lambda raise_on_error=True: self._told(partial(execute, raise_on_error))  # type: ignore[method-assign]
        return pipe

    def _told(self, ask: Callable[[], Any]) -> Any:
        if not self._may_ask():
            raise redis.exceptions.ConnectionError("the fast store did not answer a moment ago")
        try:
            answer = ask()
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


class Cluster(redis.RedisCluster):
    """
    A client that says of a cluster which nobody reaches, or of a slot which nobody has, what it says of a node that is
    away; redis-py's own errors for these are of another family.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """
        :raises FastStoreAway: see there
        """
        with _as_away():
            return super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        pipe = super().pipeline(transaction, shard_hint)
        execute = pipe.execute

        def executed(raise_on_error: bool = True) -> Any:
            with _as_away():
                return execute(raise_on_error)

        pipe.execute = executed
        return pipe


@contextlib.contextmanager
def _as_away() -> Iterator[None]:
    try:
        yield
    except redis.exceptions.RedisClusterException as error:
        raise redis.exceptions.ConnectionError(str(error)) from error


CLUSTER = "redis+cluster://"
# Bytes that are no UTF-8 were not written by us: read as such, they stop one message and not whoever reads the rest.
SPOILT = "replace"


@lru_cache(maxsize=1)
def store() -> redis.Redis:
    """
    The process's one connection pool; `redis+cluster://host:port,host:port` names some nodes of a Redis Cluster.

    :raises FastStoreAway: this process has not reached any of them yet
    """
    if settings.REDIS_URL.startswith(CLUSTER):
        # The same commands: every key of ours has a hash tag, and no script mixes two of them.
        who, _, nodes = settings.REDIS_URL.removeprefix(CLUSTER).rpartition("@")
        found = [urlsplit(f"//{node}") for node in nodes.split("/")[0].split(",")]
        with _as_away():
            return Cluster(  # type: ignore[return-value]
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
