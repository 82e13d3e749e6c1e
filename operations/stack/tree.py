"""One stack from its start to its end, step by step."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from operations import devservices, processes
from operations.stack import programs, record
from operations.stack.ports import NoPort, remembered_ports
from operations.stack.programs import CHECKOUT, EXTRAS, Layout, StackError
from operations.stack.record import StackInfo
from operations.stack.supervisor import Supervisor

READY_SECONDS = 90.0


class Stack:
    """
    A context manager that runs the product and ends it.

    :param env: variables for every program, over our own and the stack's
    :param database: another database on the server in use; made if missing
    :param redis_db: another numbered Redis database
    :param fresh: empty `database` and `redis_db` first; only for ones that are named
    :param sandbox_time_factor: 60 lets an hour of the channels' retry clocks pass in a minute
    :param state_dir: where keys, sandbox books, ports, logs and `stack.json` live; one stack each
    :param extras: which of `EXTRAS` run too; with `edge`, `url` is the edge's
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        database: str | None = None,
        redis_db: int | None = None,
        fresh: bool = False,
        state_dir: Path | None = None,
        web_workers: int = 2,
        web_threads: int = 8,
        worker_processes: int = 2,
        sandbox_time_factor: float = 1.0,
        extras: Collection[str] = (),
    ) -> None:
        if fresh and (database is None or redis_db is None):
            raise ValueError("fresh empties a database: name `database` and `redis_db`")
        if unknown := sorted(set(extras) - set(EXTRAS)):
            raise ValueError(f"no such program: {', '.join(unknown)}; there are {', '.join(EXTRAS)}")
        self.database = database
        self.redis_db = redis_db
        self.fresh = fresh
        self.state_dir = record.state_dir_of(state_dir)
        self.layout = Layout(
            state_dir=self.state_dir,
            keys_dir=self.state_dir / "channels",
            ports={},
            web_workers=web_workers,
            web_threads=web_threads,
            worker_processes=worker_processes,
            sandbox_time_factor=sandbox_time_factor,
            extras=frozenset(extras),
        )
        self._extra = dict(env or {})
        self._supervisor = Supervisor(
            log_dir=self.state_dir / "log",
            environment=self.environment,
            changed=lambda: record.write(self.info()),
        )
        self._lock: IO[str] | None = None

    # -- life --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> StackInfo:
        """
        Start everything and wait until it is ready.

        :raises StackError: another stack runs here, or a program does not become ready
        """
        self._take_lock()
        try:
            devservices.up()
            self._prepare_places()
            wanted = programs.of(self.layout)
            self._prepare_data()
            self._supervisor.begin(wanted)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self.info()

    def stop(self) -> None:
        """End every program, politely, then not; does nothing the second time."""
        self._supervisor.end()
        if self._lock is not None:
            record.erase(self.state_dir)
            self._lock.close()
            self._lock = None

    def wait_ready(self, *names: str, timeout_seconds: float = READY_SECONDS) -> None:
        """
        Wait until these programs (all by default) are ready.

        :raises StackError: one of them keeps dying, or takes too long
        """
        self._supervisor.wait_ready(*names, timeout_seconds=timeout_seconds)

    # -- what crash tests need ---------------------------------------------------------------------

    def kill(self, name: str) -> int:
        """SIGKILL a program with all its processes at once, as a power cut would; returns its pid."""
        return self._supervisor.kill(name)

    def restarts(self, name: str) -> int:
        """How often this program was started again."""
        return self._supervisor[name].restarts

    def pid(self, name: str) -> int | None:
        """The pid that leads the program; None between two lives."""
        process = self._supervisor[name].process
        return process.pid if process is not None and process.is_alive() else None

    def log(self, name: str) -> str:
        """What the program has logged since its last start."""
        return self._supervisor[name].logged()

    # -- what others may know ----------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.layout.url

    @property
    def sandbox_url(self) -> str:
        return self.layout.sandbox_url

    @property
    def keys_dir(self) -> Path:
        return self.layout.keys_dir

    def info(self) -> StackInfo:
        """The same as `running_stack` tells others."""
        me = processes.find(os.getpid())
        assert me is not None  # noqa: S101 - we are running
        return StackInfo(
            url=self.url,
            web_url=self.layout.web_url,
            sandbox_url=self.sandbox_url,
            database_url=devservices.database_url(self.database),
            redis_url=devservices.redis_url(self.redis_db),
            keys_dir=str(self.keys_dir),
            state_dir=str(self.state_dir),
            pid=me.pid,
            started=me.started,
            programs=self._supervisor.infos(),
        )

    def environment(self) -> dict[str, str]:
        """Every program's environment: ours, the stack's addresses, then the caller's overrides."""
        ours = {**self.info().environment(), **self.layout.behind_the_edge}
        return {**os.environ, "PYTHONUNBUFFERED": "1", **ours, **self._extra}

    # -- start, step by step -----------------------------------------------------------------------

    def _take_lock(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._lock = (self.state_dir / "stack.lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise StackError(
                f"another stack runs in {self.state_dir}: see `manage.py stack status`"
            ) from None

    def _prepare_places(self) -> None:
        for directory in (self.state_dir / "log", self.state_dir / "sandbox", self.keys_dir):
            directory.mkdir(exist_ok=True)
        names = ("web", "sandbox", *(("edge",) if "edge" in self.layout.extras else ()))
        try:
            chosen = remembered_ports(self.state_dir / "stack-ports.json", names=names)
        except NoPort as error:
            raise StackError(str(error)) from error
        self.layout.ports.update(chosen)

    def _prepare_data(self) -> None:
        if self.database is not None:
            if self.fresh:
                devservices.drop_database(self.database)
            devservices.create_database(self.database)
        if self.fresh:
            devservices.empty_redis_db(devservices.redis_url(self.redis_db))
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--noinput"],
            cwd=CHECKOUT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"migrate failed:\n{done.stdout[-4000:]}")
