"""
The fast store (Redis or Valkey). It accelerates and never decides: every caller has a way that needs only Postgres,
and says with `FastStoreAway` handling what it does while the store is away.
"""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

FastStoreAway = redis.exceptions.RedisError


@lru_cache(maxsize=1)
def store() -> redis.Redis:
    """The process's one connection pool."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_TIMEOUT_S,
        socket_connect_timeout=settings.REDIS_TIMEOUT_S,
        decode_responses=True,
        # One try: the client's own retries would hold a buyer for seconds while nobody listens.
        retry=Retry(NoBackoff(), 0),
    )
