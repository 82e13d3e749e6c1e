"""Both services together: up, down, status, reset, and the blows that crash tests deal them."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import redis
from psycopg import sql

from operations import processes
from operations.devservices import places, postgres, urls, valkey

LOCK_SECONDS = 180.0
Report = dict[str, Any]


class LockTimeout(Exception):
    """Another `devservices` has been starting or ending these services for too long."""


def manages_postgres() -> bool:
    """Whether the Postgres is ours to start and end: no URL names another."""
    return urls.names_our_postgres()


def manages_valkey() -> bool:
    """Whether the Valkey is ours to start and end: no URL names another."""
    return urls.names_our_valkey()


def up() -> Report:
    """
    Have both services answer, reusing what runs, and the product's database exist. Returns `status()`.

    :raises places.Unsafe: another user sits on one of our places
    :raises launch.NotStarted: a server did not start
    :raises wheels.MissingServer: a wheel is missing
    :raises LockTimeout: somebody else holds the lock for too long
    """
    with _locked() as where:
        _up(where)
    return status()


def down() -> Report:
    """
    End what is ours and see that nothing is left of it. Returns `status()`.

    :raises processes.StillRunning: something outlives SIGKILL
    """
    with _locked() as where:
        _down(where)
    return status()


def reset() -> Report:
    """End what is ours, delete its data, start it empty. Returns `status()`."""
    with _locked() as where:
        _down(where)
        if manages_postgres():
            shutil.rmtree(where.postgres_data.parent, ignore_errors=True)
        if manages_valkey():
            shutil.rmtree(where.valkey_data, ignore_errors=True)
        places.make_places(where)
        _up(where)
    return status()


def status() -> Report:
    """Each service: does it answer, is it ours, which process, where. Starts and changes nothing."""
    where = places.paths()
    database = _postgres_report(where)
    fast = _valkey_report(where)
    up_now = bool(database["up"] and fast["up"])
    return {"up": up_now, "state": str(where.state), "postgres": database, "valkey": fast}


def restart_postgres(*, immediate: bool = True) -> None:
    """End Postgres, immediately (as a crash would, with recovery) or fast, and start it again."""
    with _locked() as where:
        postgres.end(where, first=signal.SIGQUIT if immediate else signal.SIGINT)
        postgres.up(where)
        _record(where)


def kill_postgres() -> int | None:
    """SIGKILL the postmaster; returns its pid, None when there was none."""
    return _kill(postgres.postmaster(places.paths()))


def kill_valkey() -> int | None:
    """SIGKILL the Valkey; returns its pid, None when there was none."""
    return _kill(valkey.server(places.paths()))


def wipe_valkey() -> None:
    """
    Forget everything that Valkey holds, in all its databases.

    :raises redis.RedisError: nobody answers
    """
    with redis.Redis.from_url(urls.redis_url(), socket_timeout=30, retry=valkey.once()) as client:
        client.flushall()


def empty_redis_db(url: str) -> None:
    """Forget what one numbered database holds."""
    with redis.Redis.from_url(url, socket_timeout=30, retry=valkey.once()) as client:
        client.flushdb()


def create_database(name: str, *, template: str | None = None) -> bool:
    """Make a database on the server in use, embedded or not, as a copy of another; False when it was there already."""
    with _administration() as connection:
        return postgres.create_database(connection, name=name, template=template)


def drop_database(name: str) -> None:
    """Drop a database on the server in use, with its connections, if it is there."""
    with _administration() as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _administration() -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(urls.database_url("postgres"), autocommit=True, connect_timeout=5)


@contextlib.contextmanager
def _locked() -> Iterator[places.Paths]:
    """One at a time per set of services. The kernel gives the lock back when its holder dies."""
    where = places.paths()
    places.make_places(where)
    with where.lock.open("a") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                raise LockTimeout(f"{where.lock} is still held by another process")
            time.sleep(0.05)
        yield where


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _up(where: places.Paths) -> None:
    if manages_postgres():
        postgres.up(where)
        with postgres.connect(where) as connection:
            postgres.create_database(connection, name=urls.DATABASE)
    if manages_valkey():
        valkey.up(where)
    _record(where)


def _down(where: places.Paths) -> None:
    if manages_postgres():
        postgres.end(where)
    if manages_valkey():
        valkey.end(where)
    if not postgres.members(where) and not valkey.members(where):
        shutil.rmtree(where.sockets, ignore_errors=True)
    _record(where)


def _kill(process: processes.Process | None) -> int | None:
    if process is None or not processes.send(process, signal.SIGKILL):
        return None
    processes.wait_gone([process], timeout_seconds=10.0)
    return process.pid


def _record(where: places.Paths) -> None:
    """Write down what runs, for people and other tools. Never read back: the processes are the truth."""
    facts = {
        "token": where.token,
        "postgres": {**_facts(postgres.postmaster(where)), "data": str(where.postgres_data)},
        "valkey": {**_facts(valkey.server(where)), "data": str(where.valkey_data)},
        "database_url": urls.database_url(),
        "redis_url": urls.redis_url(),
    }
    half = where.record.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(facts, indent=2) + "\n")
    half.replace(where.record)


def _facts(process: processes.Process | None) -> dict[str, int | None]:
    if process is None:
        return {"pid": None, "started": None}
    return {"pid": process.pid, "started": process.started}


def _postgres_report(where: places.Paths) -> Report:
    if not manages_postgres():
        return {"managed": False, "pid": None, **_answer(_external_postgres)}
    answer = postgres.version(where)
    leader = postgres.postmaster(where)
    return {
        "managed": True,
        "pid": leader and leader.pid,
        "up": answer is not None and leader is not None,
        "version": answer,
        "url": urls.database_url(),
    }


def _valkey_report(where: places.Paths) -> Report:
    if not manages_valkey():
        return {"managed": False, "pid": None, **_answer(_external_valkey)}
    answer = valkey.version(where)
    process = valkey.server(where)
    return {
        "managed": True,
        "pid": process and process.pid,
        "up": answer is not None and process is not None,
        "version": answer,
        "url": urls.redis_url(),
    }


def _answer(ask: Callable[[], str]) -> Report:
    """An external service's answer; its URL is not repeated, it may hold a password."""
    try:
        return {"up": True, "version": ask(), "url": None}
    except (psycopg.Error, redis.RedisError):
        return {"up": False, "version": None, "url": None}


def _external_postgres() -> str:
    with psycopg.connect(urls.database_url(), connect_timeout=3) as connection:
        return str(connection.info.parameter_status("server_version"))


def _external_valkey() -> str:
    with redis.Redis.from_url(urls.redis_url(), socket_timeout=3, retry=valkey.once()) as client:
        facts: Any = client.info("server")
    return str(facts.get("valkey_version") or facts["redis_version"])
