"""
Holds one program of the stack: run as `python leash.py PARENT_PID REPORT_FD GRACE_SECONDS COMMAND...`.

The program leads a process group of its own. Whatever happens, nothing of it outlives its reason to run:

- SIGTERM: the program is asked to end; after GRACE_SECONDS its whole tree is killed.
- The program ends or is killed: its remains (workers of a killed server) are killed, then we end likewise.
- The supervisor dies, even by SIGKILL: the whole tree is killed at once.
- The leash itself is killed: the program's first process is killed by the kernel.

Standard library only, one thread, Linux only. The program's pid is written to REPORT_FD.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PARENT_DIED = signal.SIGUSR2
TICK_SECONDS = 0.05


def prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            facts = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(facts[1]) == parent and facts[0] != "Z":
                found.append(int(stat.parent.name))
    return found


class Leash:
    """The state that signals change: who we serve, whom we hold, and by when it must be gone."""

    def __init__(self, *, parent: int, grace_seconds: float) -> None:
        self.parent = parent
        self.grace_seconds = grace_seconds
        self.child = 0
        self.deadline: float | None = None

    def hold(self, command: list[str], *, report_fd: int) -> int:
        """Run the command to its end; its exit status as a shell would give it."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, PARENT_DIED)
        signal.signal(PARENT_DIED, self._on_parent_died)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C reaches the supervisor, which then asks in order.
        self.child = self._spawn(command, report_fd)
        with contextlib.suppress(BrokenPipeError):  # A dead supervisor is noticed below.
            os.write(report_fd, f"{self.child}\n".encode())
        os.close(report_fd)
        status = self._wait()
        self._kill_tree()
        return status

    def _spawn(self, command: list[str], report_fd: int) -> int:
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            os.close(report_fd)
            os.read(ready, 1)  # Until the parent has settled, so that nothing runs without a leash.
            for number in (signal.SIGTERM, signal.SIGINT, PARENT_DIED):
                signal.signal(number, signal.SIG_DFL)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            try:
                os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
            except OSError as error:
                print(f"{command[0]}: {error}", file=sys.stderr, flush=True)
                os._exit(127)
        os.setpgid(child, child)
        os.close(ready)
        os.close(go)
        return child

    def _wait(self) -> int:
        while True:
            # Whoever died between our start and PR_SET_PDEATHSIG sent no signal.
            if os.getppid() != self.parent:
                self._kill_tree()
            if self.deadline is not None and time.monotonic() > self.deadline:
                self._kill_tree()
            status = self._reap()
            if status is not None:
                return status
            time.sleep(TICK_SECONDS)

    def _reap(self) -> int | None:
        """Collect whoever ended; the program's own exit status when it was among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == self.child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if pid == 0:
                return None

    def _kill_tree(self) -> None:
        """Kill our children until there are none: as their subreaper we inherit every orphan of the tree."""
        while True:
            for pid in children_of(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                time.sleep(0.005)
            elif pid == self.child:
                self.child = 0

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.deadline is None:
            self.deadline = time.monotonic() + self.grace_seconds
            if self.child:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.child, signal.SIGTERM)

    def _on_parent_died(self, _number: int, _frame: FrameType | None) -> None:
        # The kernel also tells when only the thread that started us has ended.
        if os.getppid() != self.parent:
            self._kill_tree()


def main(arguments: list[str]) -> int:
    parent, report_fd, grace_seconds, *command = arguments
    return Leash(parent=int(parent), grace_seconds=float(grace_seconds)).hold(
        command, report_fd=int(report_fd)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
