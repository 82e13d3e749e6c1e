"""
The whole product as one process tree: channel sandbox, web, worker, beat, on the services of `devservices`.

Each program hangs on a leash (`operations.leash`): it starts again when it dies, and is killed with all it
started when the supervisor ends, however that happens. `stack.json` tells other commands what runs where.
"""

import contextlib
import fcntl
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from operations import devservices, leash, processes
from operations.devservices.launch import tail

CHECKOUT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
# Below the ports that the kernel hands to outgoing connections, so that a busy client cannot take ours while
# a program is being started again.
PORTS = range(20_000, 32_000)
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CALM_SECONDS = 10.0
"""A program that ran this long is started again at once, as if it had never failed."""
READY_SECONDS = 90.0
GRACE_SECONDS = 10.0


class StackError(Exception):
    """The stack cannot run; the message says why, with the end of the log that tells."""


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """One running program: `pid` leads its process group; `restarts` counts since the stack started."""

    pid: int
    started: int
    restarts: int
    log: str

    def process(self) -> processes.Process:
        return processes.Process(pid=self.pid, started=self.started)


@dataclass(frozen=True, slots=True)
class StackInfo:
    """What other commands need to know about a stack, as it stands in `stack.json`."""

    url: str
    sandbox_url: str
    database_url: str
    redis_url: str
    keys_dir: str
    state_dir: str
    pid: int
    started: int
    programs: dict[str, ProgramInfo]

    def environment(self) -> dict[str, str]:
        """The variables with which a command sees the same product."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "KAIPIAO_PUBLIC_URL": self.url,
            "KAIPIAO_SANDBOX_URL": self.sandbox_url,
            "KAIPIAO_CHANNEL_KEYS_DIR": self.keys_dir,
        }


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how to see that it is ready; `is_ready` gets what it has logged since its start."""

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[str], bool]


@dataclass(slots=True)
class Running:
    """A program's present life, and what its former lives taught."""

    program: Program
    log: Path
    holder: "subprocess.Popen[bytes] | None" = None
    process: processes.Process | None = None
    restarts: int = 0
    failures: int = 0
    born_at: float = 0.0
    due_at: float = 0.0
    log_offset: int = field(default=0)

    def logged(self) -> str:
        """What it has logged since its last start."""
        with self.log.open("rb") as log:
            log.seek(self.log_offset)
            return log.read().decode(errors="replace")

    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive()

    def is_ready(self) -> bool:
        return self.is_alive() and self.program.is_ready(self.logged())


def running_stack(*, state_dir: Path | None = None) -> StackInfo | None:
    """The stack recorded in this state directory, if its supervisor is still that process."""
    record = _state_dir(state_dir) / "stack.json"
    try:
        facts = json.loads(record.read_text())
        programs = {name: ProgramInfo(**program) for name, program in facts.pop("programs").items()}
        info = StackInfo(**facts, programs=programs)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    alive = processes.Process(pid=info.pid, started=info.started).is_alive()
    return info if alive else None


def stop_running(*, state_dir: Path | None = None) -> bool:
    """End the recorded stack from outside; False when none ran."""
    info = running_stack(state_dir=state_dir)
    if info is None:
        return False
    # Its supervisor may need the grace of every program, one after the other at worst.
    processes.end([processes.Process(pid=info.pid, started=info.started)], grace_seconds=4 * GRACE_SECONDS)
    programs = [program.process() for program in info.programs.values()]
    return processes.wait_gone(programs, timeout_seconds=GRACE_SECONDS)


class Stack:
    """
    A context manager that runs the product and ends it.

    :param env: variables for every program, over our own and the stack's
    :param database: another database on the server in use; made if missing
    :param redis_db: another numbered Redis database
    :param fresh: empty `database` and `redis_db` first; only for ones that are named
    :param sandbox_time_factor: 60 lets an hour of the channels' retry clocks pass in a minute
    :param state_dir: where keys, sandbox books, ports, logs and `stack.json` live; one stack each
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
    ) -> None:
        if fresh and (database is None or redis_db is None):
            raise ValueError("fresh empties a database: name `database` and `redis_db`")
        self.database = database
        self.redis_db = redis_db
        self.fresh = fresh
        self.state_dir = _state_dir(state_dir)
        self.web_workers = web_workers
        self.web_threads = web_threads
        self.worker_processes = worker_processes
        self.sandbox_time_factor = sandbox_time_factor
        self._extra = dict(env or {})
        self._running: dict[str, Running] = {}
        self._changing = threading.RLock()
        self._ending = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._lock: IO[str] | None = None
        self.url = ""
        self.sandbox_url = ""

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
        self._ending.clear()
        try:
            devservices.up()
            self._prepare_places()
            self._prepare_data()
            self._start_programs()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self.info()

    def stop(self) -> None:
        """End every program, politely, then not; does nothing the second time."""
        self._ending.set()
        if self._supervisor is not None:
            self._supervisor.join()
            self._supervisor = None
        with self._changing:
            holders = [running.holder for running in self._running.values() if running.holder is not None]
            for holder in holders:
                holder.terminate()
            for holder in holders:
                _wait_or_kill(holder, GRACE_SECONDS + 5.0)
            self._running.clear()
        if self._lock is not None:
            (self.state_dir / "stack.json").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def wait_ready(self, *names: str, timeout_seconds: float = READY_SECONDS) -> None:
        """
        Wait until these programs (all by default) are ready.

        :raises StackError: one of them keeps dying, or takes too long
        """
        wanted = names or tuple(self._running)
        deadline = time.monotonic() + timeout_seconds
        for name in wanted:
            running = self._running[name]
            while not running.is_ready():
                if time.monotonic() > deadline or running.failures >= len(BACKOFF_SECONDS):
                    raise StackError(f"{name} is not ready; {running.log} ends with:\n{tail(running.log)}")
                time.sleep(0.05)

    # -- what crash tests need ---------------------------------------------------------------------

    def kill(self, name: str) -> int:
        """SIGKILL a program with all its processes at once, as a power cut would; returns its pid."""
        process = self._running[name].process
        if process is None or not process.is_alive():
            raise StackError(f"{name} does not run")
        os.killpg(process.pid, 9)
        processes.wait_gone([process], timeout_seconds=10.0)
        return process.pid

    def restarts(self, name: str) -> int:
        """How often this program was started again."""
        return self._running[name].restarts

    def pid(self, name: str) -> int | None:
        """The pid that leads the program; None between two lives."""
        process = self._running[name].process
        return process.pid if process is not None and process.is_alive() else None

    def log(self, name: str) -> str:
        """What the program has logged since its last start."""
        return self._running[name].logged()

    # -- what others may know ----------------------------------------------------------------------

    def info(self) -> StackInfo:
        """The same as `running_stack` tells others."""
        me = processes.find(os.getpid())
        assert me is not None  # noqa: S101 - we are running
        with self._changing:
            programs = {
                name: ProgramInfo(
                    pid=running.process.pid,
                    started=running.process.started,
                    restarts=running.restarts,
                    log=str(running.log),
                )
                for name, running in self._running.items()
                if running.process is not None
            }
        return StackInfo(
            url=self.url,
            sandbox_url=self.sandbox_url,
            database_url=devservices.database_url(self.database),
            redis_url=devservices.redis_url(self.redis_db),
            keys_dir=str(self.keys_dir),
            state_dir=str(self.state_dir),
            pid=me.pid,
            started=me.started,
            programs=programs,
        )

    @property
    def keys_dir(self) -> Path:
        return self.state_dir / "channels"

    def environment(self) -> dict[str, str]:
        """Every program's environment: ours, the stack's addresses, then the caller's overrides."""
        return {**os.environ, "PYTHONUNBUFFERED": "1", **self.info().environment(), **self._extra}

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
        ports = remembered_ports(self.state_dir / "stack-ports.json", names=("web", "sandbox"))
        self.url = f"http://{HOST}:{ports['web']}"
        self.sandbox_url = f"http://{HOST}:{ports['sandbox']}"

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

    def _start_programs(self) -> None:
        for program in self._programs():
            log = self.state_dir / "log" / f"{program.name}.log"
            log.write_bytes(b"")
            self._running[program.name] = Running(program=program, log=log)
        for running in self._running.values():
            self._launch(running)
        self._write_record()
        self._supervisor = threading.Thread(target=self._supervise, name="stack-supervisor", daemon=True)
        self._supervisor.start()

    def _programs(self) -> list[Program]:
        return [self._sandbox(), self._web(), self._worker(), self._beat()]

    def _sandbox(self) -> Program:
        port = self.sandbox_url.rpartition(":")[2]
        command = (
            sys.executable, "-m", "payments.sandbox", "serve", "--host", HOST, "--port", port,
            "--dir", str(self.state_dir / "sandbox"), "--keys", str(self.keys_dir),
            "--time-factor", str(self.sandbox_time_factor),
        )  # fmt: skip
        return Program(name="sandbox", command=command, is_ready=lambda _logged: _connects(int(port)))

    def _web(self) -> Program:
        command = (
            _script("granian"), "--interface", "wsgi", "--host", HOST, "--port", self.url.rpartition(":")[2],
            "--workers", str(self.web_workers),
            # Each thread may hold a database connection: unbounded, they could outnumber Postgres's.
            "--blocking-threads", str(self.web_threads),
            # Counts connections, also idle ones that a client keeps; the rest wait in the backlog.
            "--backpressure", "512", "--backlog", "2048",
            "--http", "1", "--no-ws",
            "--respawn-failed-workers", "--respawn-interval", "0.5",
            "--workers-kill-timeout", str(int(GRACE_SECONDS / 2)),
            "config.wsgi:application",
        )  # fmt: skip
        return Program(name="web", command=command, is_ready=lambda _logged: _answers(f"{self.url}/livez"))

    def _worker(self) -> Program:
        command = (
            sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", "notify,compensate,default",
            "--concurrency", str(self.worker_processes), "--loglevel", "INFO",
            "-n", f"worker-{self.url.rpartition(':')[2]}@%h", "--without-gossip", "--without-mingle",
        )  # fmt: skip
        return Program(name="worker", command=command, is_ready=lambda logged: " ready." in logged)

    def _beat(self) -> Program:
        command = (
            sys.executable, "-m", "celery", "-A", "config", "beat", "--loglevel", "INFO",
            # Kept in memory: the usual schedule file is a dbm that a kill leaves unreadable, and beat then
            # never starts again. Nothing is lost, for every job looks for what is due by itself.
            "--scheduler", "celery.beat:Scheduler", "--pidfile", "",
        )  # fmt: skip
        return Program(name="beat", command=command, is_ready=lambda logged: "beat: Starting" in logged)

    # -- supervision -------------------------------------------------------------------------------

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
            self._write_record()

    def _write_record(self) -> None:
        record = self.state_dir / "stack.json"
        half = record.with_suffix(".half")
        half.write_text(json.dumps(asdict(self.info()), indent=2) + "\n")
        half.replace(record)


def remembered_ports(memory: Path, *, names: tuple[str, ...]) -> dict[str, int]:
    """The ports of the last time where they are still free, others where not: bookmarks stay good."""
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(memory.read_text())
    chosen: dict[str, int] = {}
    for name in names:
        candidates = _candidates(known.get(name))
        chosen[name] = next(port for port in candidates if port not in chosen.values() and _is_free(port))
    memory.write_text(json.dumps(chosen) + "\n")
    return chosen


def _candidates(remembered: int | None) -> Iterator[int]:
    if remembered is not None:
        yield remembered
    for _attempt in range(1_000):
        yield random.choice(PORTS)  # noqa: S311 - only to keep two checkouts apart
    raise StackError(f"no free port between {PORTS.start} and {PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of the last run that still linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _connects(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as response:  # noqa: S310 - our own http:// address
            return bool(response.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def _script(name: str) -> str:
    """A console script of the environment that runs us."""
    return str(Path(sys.executable).with_name(name))


def _state_dir(given: Path | None) -> Path:
    return (given or devservices.paths().state).resolve()


def _wait_or_kill(holder: "subprocess.Popen[bytes]", timeout_seconds: float) -> None:
    try:
        holder.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()
