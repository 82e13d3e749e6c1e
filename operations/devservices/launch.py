"""Starting a server so that it outlives its starter and is nobody's unreaped child."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from operations import processes
from operations.devservices import places

LOG_BYTES_MAX = 10_000_000

# The shell leaves at once, so the server belongs to init: killed later, it leaves no zombie whose pid
# Postgres would take for a living postmaster.
_DETACH = 'exec "$@" </dev/null >&2 & echo $!'


class NotStarted(Exception):
    """A server ended, or did not answer in time; the message ends with the last lines of its log."""


def environment() -> dict[str, str]:
    """What a server gets to see: none of the caller's PG*, LD_* or locale variables."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def run(
    command: Sequence[str | Path], *, cwd: Path, timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as the servers' user."""
    user = places.server_user()
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
        start_new_session=True,
        user=user.uid if user.stepped_down else None,
        group=user.gid if user.stepped_down else None,
        extra_groups=[] if user.stepped_down else None,
    )


def detached(command: Sequence[str | Path], *, cwd: Path, log: Path) -> processes.Process | None:
    """Start a server as the servers' user; None when it ended before we could look at it."""
    user = places.server_user()
    _rotate(log)
    with log.open("ab") as sink:
        shell = subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *(str(part) for part in command)],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            check=True,
            start_new_session=True,
            user=user.uid if user.stepped_down else None,
            group=user.gid if user.stepped_down else None,
            extra_groups=[] if user.stepped_down else None,
        )
    return processes.find(int(shell.stdout))


def tail(log: Path, *, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))
