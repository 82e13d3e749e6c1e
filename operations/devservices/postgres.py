"""One Postgres on a Unix socket: made, started, found again, ended."""

import contextlib
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

import psycopg
from psycopg import sql

from operations import processes
from operations.devservices import launch, places, wheels

SUPERUSER = "kaipiao"
PORT = 5432
PROGRAMS = ("postgres", "initdb")
READY_SECONDS = 60.0  # Recovery after a crash in the middle of a benchmark may have 2 GB of WAL to replay.
STOP_SECONDS = 30.0

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "max_connections": "200",
    "shared_buffers": "256MB",
    # Money: what was committed survives. These are the defaults, written down because nobody may relax them.
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "max_wal_size": "2GB",
    "unix_socket_permissions": "0700",
}


def members(where: places.Paths) -> list[processes.Process]:
    """Every process of this cluster: the postmaster, its children, an initdb that lost its starter."""
    return processes.carrying(token=where.token, programs=PROGRAMS)


def postmaster(where: places.Paths) -> processes.Process | None:
    """The living postmaster of this data directory; None when there is none."""
    try:
        pid = int((where.postgres_data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    process = processes.find(pid)
    return process if process in members(where) else None


def connect(where: places.Paths, *, name: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
    """
    A connection as superuser, in autocommit.

    :raises psycopg.OperationalError: nobody answers
    """
    return psycopg.connect(
        host=str(where.postgres_sockets),
        port=PORT,
        user=SUPERUSER,
        dbname=name,
        connect_timeout=3,
        autocommit=True,
    )


def version(where: places.Paths) -> str | None:
    """The server's version if it answers, else None."""
    try:
        with connect(where) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    except psycopg.OperationalError:
        return None
    return str(row[0]) if row else None


def up(where: places.Paths) -> processes.Process:
    """
    Have a Postgres that answers, reusing one that does.

    :raises launch.NotStarted: initdb failed, or the server did not answer in time
    :raises wheels.MissingServer: its wheel is not installed
    """
    running = postmaster(where)
    # One that is starting or recovering deserves its time; one that still says nothing is replaced.
    if running is not None and _wait_ready(where, running):
        return running
    end(where, first=signal.SIGQUIT)
    _initialise(where)
    return _start(where)


def end(where: places.Paths, *, first: signal.Signals = signal.SIGINT) -> None:
    """
    End the cluster: SIGINT is Postgres's fast shutdown, SIGQUIT its immediate one.

    :raises processes.StillRunning: something outlives SIGKILL
    """
    leader = postmaster(where)
    if leader is not None:
        processes.end([leader], first=first, grace_seconds=STOP_SECONDS)
    # Children of a killed postmaster leave by themselves within moments; an orphaned initdb is told to.
    if not processes.wait_until(lambda: not members(where), timeout_seconds=2.0):
        processes.end(members(where), first=signal.SIGQUIT, grace_seconds=5.0)


def _initialise(where: places.Paths) -> None:
    """Make the data under another name and rename it: a killed initdb leaves nothing that looks whole."""
    parent = where.postgres_data.parent
    for leftover in parent.glob("half-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if where.postgres_data.exists():
        return
    half = parent / f"half-{where.token}-{uuid.uuid4().hex[:8]}"
    command: list[str | Path] = [
        wheels.postgres_binary("initdb", where), "-D", half, "-U", SUPERUSER,
        "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions",
    ]  # fmt: skip
    try:
        done = launch.run(command, cwd=parent, timeout_seconds=120.0)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise launch.NotStarted(f"initdb could not run: {error}") from error
    if done.returncode != 0:
        raise launch.NotStarted(f"initdb failed:\n{done.stdout}{done.stderr}")
    half.rename(where.postgres_data)


def _start(where: places.Paths) -> processes.Process:
    _check_version(where)
    _forget_dead_postmaster(where)
    settings = {
        **SETTINGS,
        "unix_socket_directories": str(where.postgres_sockets),
        "cluster_name": where.token,
    }
    command: list[str | Path] = [wheels.postgres_binary("postgres", where), "-D", where.postgres_data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    log = where.log / "postgres.log"
    process = launch.detached(command, cwd=where.postgres_data.parent, log=log)
    if process is None or not _wait_ready(where, process):
        raise launch.NotStarted(f"Postgres did not start; {log} ends with:\n{launch.tail(log)}")
    return process


def _wait_ready(where: places.Paths, process: processes.Process) -> bool:
    processes.wait_until(
        lambda: not process.is_alive() or version(where) is not None, timeout_seconds=READY_SECONDS
    )
    # The answer may have come from another: only ours counts.
    return version(where) is not None and postmaster(where) == process


def _check_version(where: places.Paths) -> None:
    found = (where.postgres_data / "PG_VERSION").read_text().strip()
    binary = wheels.postgres_binary("postgres", where)
    wanted = launch.run([binary, "--version"], cwd=where.postgres_data.parent, timeout_seconds=30.0).stdout
    major = wanted.split()[-1].split(".")[0] if wanted.split() else "?"
    if found != major:
        raise launch.NotStarted(
            f"{where.postgres_data} was made by Postgres {found}, the wheel has {major}: "
            "run `devservices reset`"
        )


def _forget_dead_postmaster(where: places.Paths) -> None:
    """
    Remove lock files that no process stands behind.

    Postgres does so itself unless the pid in them was given to another process, or waits as a zombie: then it
    would refuse to start. Safe only because `end` has just seen that no process of this cluster is left, and
    the lock of `devservices` keeps others from starting one.
    """
    stale = [where.postgres_data / "postmaster.pid"]
    stale += list(where.postgres_sockets.glob(".s.PGSQL.*"))
    for path in stale:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def create_database(
    connection: "psycopg.Connection[tuple[object, ...]]", *, name: str, template: str | None = None
) -> bool:
    """Make a database, empty or as a copy of one that nobody uses; False when it was there already."""
    # A crash in between leaves either no database or a whole one, so existence is the whole check.
    known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if known:
        return False
    try:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
        )
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return False  # Somebody else made it just now.
    return True
