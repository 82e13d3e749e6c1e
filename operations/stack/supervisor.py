"""Holds the programs on their leashes, and starts again what died."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from operations import leash, processes
from operations.devservices.launch import tail
from operations.stack.programs import CHECKOUT, Program, StackError
from operations.stack.record import GRACE_SECONDS, ProgramInfo

BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CALM_SECONDS = 10.0
"""A program that ran this long is started again at once, as if it had never failed."""


@dataclass(slots=True)
class Running:
    """A program's present life, and what its former lives taught."""

    program: Program
    log: Path
    holder: subprocess.Popen[bytes] | None = None
    process: processes.Process | None = None
    restarts: int = 0
    failures: int = 0
    born_at: float = 0.0
    due_at: float = 0.0
    log_offset: int = 0

    def logged(self) -> str:
        """What it has logged since its last start."""
        with self.log.open("rb") as log:
            log.seek(self.log_offset)
            return log.read().decode(errors="replace")

    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive()

    def is_ready(self) -> bool:
        return self.is_alive() and self.program.is_ready(self.logged())


class Supervisor:
    """
    Runs programs until `end`.

    :param environment: what every program's environment is at its start
    :param changed: called when a program has another pid than before
    """

    def __init__(
        self, *, log_dir: Path, environment: Callable[[], Mapping[str, str]], changed: Callable[[], None]
    ) -> None:
        self.log_dir, self.environment, self.changed = log_dir, environment, changed
        self._running: dict[str, Running] = {}
        self._changing = threading.RLock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def __getitem__(self, name: str) -> Running:
        return self._running[name]

    def begin(self, programs: Sequence[Program]) -> None:
        """Start every program, and look after them from now on."""
        self._ending.clear()
        for program in programs:
            log = self.log_dir / f"{program.name}.log"
            log.write_bytes(b"")
            self._running[program.name] = Running(program=program, log=log)
        for running in self._running.values():
            self._launch(running)
        self.changed()
        self._thread = threading.Thread(target=self._supervise, name="stack-supervisor", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End every program, politely, then not; does nothing the second time."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._changing:
            holders = [running.holder for running in self._running.values() if running.holder is not None]
            for holder in holders:
                holder.terminate()
            for holder in holders:
                _wait_or_kill(holder, GRACE_SECONDS + 5.0)
            self._running.clear()

    def wait_ready(self, *names: str, timeout_seconds: float) -> None:
        """
        Wait until these programs (all by default) are ready.

        :raises StackError: one of them keeps dying, or takes too long
        """
        deadline = time.monotonic() + timeout_seconds
        for name in names or tuple(self._running):
            running = self._running[name]
            while not running.is_ready():
                if time.monotonic() > deadline or running.failures >= len(BACKOFF_SECONDS):
                    raise StackError(f"{name} is not ready; {running.log} ends with:\n{tail(running.log)}")
                time.sleep(0.05)

    def kill(self, name: str) -> int:
        """
        SIGKILL a program with all its processes at once, as a power cut would; returns its pid.

        :raises StackError: it does not run
        """
        process = self._running[name].process
        if process is None or not process.is_alive():
            raise StackError(f"{name} does not run")
        os.killpg(process.pid, 9)
        processes.wait_gone([process], timeout_seconds=10.0)
        return process.pid

    def infos(self) -> dict[str, ProgramInfo]:
        with self._changing:
            return {
                name: ProgramInfo(
                    pid=running.process.pid,
                    started=running.process.started,
                    restarts=running.restarts,
                    log=str(running.log),
                )
                for name, running in self._running.items()
                if running.process is not None
            }

    def _launch(self, running: Running) -> None:
        """Start a program on a leash and learn its pid."""
        listen, tell = os.pipe()
        running.log_offset = running.log.stat().st_size
        with running.log.open("ab") as log:
            running.holder = subprocess.Popen(
                [
                    sys.executable, "-I", "-S", leash.__file__,
                    str(os.getpid()), str(tell), str(GRACE_SECONDS), *running.program.command,
                ],
                cwd=CHECKOUT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(tell,),
                start_new_session=True,
            )  # fmt: skip
        os.close(tell)
        with os.fdopen(listen) as told:
            line = told.readline().strip()
        running.process = processes.find(int(line)) if line else None
        running.born_at = time.monotonic()

    def _supervise(self) -> None:
        while not self._ending.wait(0.05):
            with self._changing:
                for running in self._running.values():
                    self._look_after(running)

    def _look_after(self, running: Running) -> None:
        now = time.monotonic()
        if running.holder is not None and running.holder.poll() is not None:
            if now - running.born_at >= CALM_SECONDS:
                running.failures = 0
            pause = BACKOFF_SECONDS[min(running.failures, len(BACKOFF_SECONDS) - 1)]
            running.holder, running.process = None, None
            running.failures += 1
            running.due_at = now + pause
        if running.holder is None and now >= running.due_at:
            running.restarts += 1
            self._launch(running)
            self.changed()


def _wait_or_kill(holder: subprocess.Popen[bytes], timeout_seconds: float) -> None:
    try:
        holder.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()
