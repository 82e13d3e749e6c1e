"""
Processes known by pid *and* start time, so that a recycled pid is never mistaken for the one that we started.

Linux only: everything is read from /proc, and signals go through a pidfd where the kernel has one.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_SECONDS = 0.02


class StillRunning(Exception):
    """A process survived SIGKILL for as long as we were ready to wait."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process for its whole life: `started` is in clock ticks since boot, as in /proc/<pid>/stat."""

    pid: int
    started: int

    def is_alive(self) -> bool:
        return find(self.pid) == self


def find(pid: int) -> Process | None:
    """The process that has this pid now; None when there is none or only its unreaped exit status is left."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The command's name may hold spaces and brackets: count the fields from the last bracket on.
    fields = stat.rpartition(")")[2].split()
    if not fields or fields[0] in "ZXx":
        return None
    return Process(pid=pid, started=int(fields[19]))


def carrying(*, token: str, programs: Iterable[str]) -> list[Process]:
    """
    Every live process that runs one of `programs` and names `token` on its command line.

    The token is unique to one set of services: this finds them even when the record of their pids was lost.
    """
    wanted = frozenset(programs)
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and _carries(entry, token, wanted):
            process = find(int(entry.name))
            if process is not None:
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def _carries(entry: Path, token: str, programs: frozenset[str]) -> bool:
    try:
        command = (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return token in command and _program(entry, command) in programs


def _program(entry: Path, command: str) -> str:
    """The name of the file that runs, whatever the process calls itself."""
    try:
        return os.path.basename(os.readlink(entry / "exe").removesuffix(" (deleted)"))
    except OSError:
        # Root without CAP_SYS_PTRACE, as in most containers, may not look closely at another user's process.
        return os.path.basename(re.split(r"[\0 ]", command, maxsplit=1)[0].rstrip(":"))


@contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, ProcessLookupError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def send(process: Process, number: signal.Signals) -> bool:
    """Signal this very process. False when it is gone, even if another process has its pid by now."""
    with _pidfd(process.pid) as descriptor:
        # Looked at after the pidfd was opened: from here on the pidfd means this process or nothing.
        if not process.is_alive():
            return False
        try:
            if descriptor is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
    return True


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Poll `condition` until it holds; False when the time ran out first."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_gone(group: Iterable[Process], *, timeout_seconds: float) -> bool:
    """Wait for every process of `group` to end."""
    members = list(group)
    return wait_until(lambda: not any(p.is_alive() for p in members), timeout_seconds=timeout_seconds)


def end(
    group: Iterable[Process], *, first: signal.Signals = signal.SIGTERM, grace_seconds: float = 10.0
) -> None:
    """
    Ask with `first`, wait `grace_seconds`, then SIGKILL whatever is left.

    :raises StillRunning: something lives 10 s after SIGKILL
    """
    members = list(group)
    for process in members:
        send(process, first)
    if wait_gone(members, timeout_seconds=grace_seconds):
        return
    for process in members:
        send(process, signal.SIGKILL)
    if not wait_gone(members, timeout_seconds=10.0):
        raise StillRunning(", ".join(str(p.pid) for p in members if p.is_alive()))
