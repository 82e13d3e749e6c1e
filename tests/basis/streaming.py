"""A real streaming replica of the tests' own Postgres: copied, started, held back, killed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections

from operations import devservices, processes
from operations.devservices import launch, places, postgres, wheels

PORT = 5433
COPY_S, READY_S = 60.0, 20.0


@dataclass
class Replica:
    where: places.Paths
    data: Path
    process: processes.Process | None = None

    def start(self) -> None:
        settings = {
            **postgres.SETTINGS,
            "port": PORT,
            "shared_buffers": "32MB",
            "unix_socket_directories": self.where.postgres_sockets,
            "cluster_name": f"{self.where.token}-replica",
            # What conflicts with a question from here waits no longer: a test has no time.
            "max_standby_streaming_delay": "1s",
        }
        command: list[str | Path] = [wheels.postgres_binary("postgres", self.where), "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self.where.log / "replica.log"
        self.process = launch.detached(command, cwd=self.data.parent, log=log)
        assert until(self._answers, READY_S), launch.tail(log)

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self.process is not None:
            processes.end([self.process], first=signal.SIGQUIT, grace_seconds=10)
            self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.told("SELECT pg_is_in_recovery()"))
        return False

    def told(self, sql: str) -> Any:
        with psycopg.connect(
            host=str(self.where.postgres_sockets),
            port=PORT,
            user=postgres.SUPERUSER,
            dbname=connections["default"].settings_dict["NAME"],
            autocommit=True,
        ) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return row[0] if row else None

    def hold_back(self) -> None:
        """Receive, and apply nothing: from here on it lags."""
        self.told("SELECT pg_wal_replay_pause()")
        assert until(lambda: self.told("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def go_on(self) -> None:
        """Apply what was held back, all that the primary has by now."""
        self.told("SELECT pg_wal_replay_resume()")
        self.catch_up()

    def catch_up(self) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_lsn()")
            [here] = cursor.fetchone()
        assert until(lambda: self.told(f"SELECT pg_last_wal_replay_lsn() >= '{here}'::pg_lsn"))


def until(true: Callable[[], Any], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


@contextlib.contextmanager
def streaming() -> Iterator[Replica]:
    """A replica that streams from the primary, gone afterwards."""
    where = devservices.paths()
    data = where.postgres_data.parent / "replica"
    shutil.rmtree(data, ignore_errors=True)
    copy: list[str | Path] = [
        wheels.postgres_binary("pg_basebackup", where), "-D", data, "-h", where.postgres_sockets, "-p",
        str(postgres.PORT), "-U", postgres.SUPERUSER, "-R", "-c", "fast", "-X", "stream", "--no-sync",
    ]  # fmt: skip
    done = launch.run(copy, cwd=data.parent, timeout_seconds=COPY_S)
    assert done.returncode == 0, done.stderr
    replica = Replica(where, data)
    try:
        replica.start()
        yield replica
    finally:
        replica.kill()
        shutil.rmtree(data, ignore_errors=True)
