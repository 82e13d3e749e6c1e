"""
A real Postgres and a real Valkey for a machine that has neither, out of pinned wheels, on Unix sockets only.

`DATABASE_URL` or `REDIS_URL` in the environment means: that service is somebody else's, never started or
ended here. URLs are computed without starting anything, so `config.settings` may ask for them.
See docs/devservices.md.
"""

from operations.devservices.launch import NotStarted
from operations.devservices.places import Paths, Unsafe, paths
from operations.devservices.together import (
    LockTimeout,
    create_database,
    down,
    drop_database,
    empty_redis_db,
    kill_postgres,
    kill_valkey,
    reset,
    restart_postgres,
    status,
    up,
    wipe_valkey,
)
from operations.devservices.urls import database_config, database_url, redis_url
from operations.devservices.wheels import MissingServer

__all__ = [
    "LockTimeout",
    "MissingServer",
    "NotStarted",
    "Paths",
    "Unsafe",
    "create_database",
    "database_config",
    "database_url",
    "down",
    "drop_database",
    "empty_redis_db",
    "kill_postgres",
    "kill_valkey",
    "paths",
    "redis_url",
    "reset",
    "restart_postgres",
    "status",
    "up",
    "wipe_valkey",
]
