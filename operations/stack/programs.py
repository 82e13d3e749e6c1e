"""The programs of the stack: what to run, and how to see that it is ready."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from operations import edge
from operations.stack.ports import HOST, answers, connects
from operations.stack.record import GRACE_SECONDS

CHECKOUT = Path(__file__).resolve().parents[2]
EXTRAS = ("drain", "pace", "edge", "pages")
"""What a rush needs besides the programs that every sale needs."""
OF_THE_EDGE = frozenset({"edge", "pages"})
RENDER_EVERY_SECONDS = 5


class StackError(Exception):
    """The stack cannot run; the message says why, with the end of the log that tells."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how to see that it is ready; `is_ready` gets what it has logged since its start."""

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the programs of one stack live and listen, and how large they are. `extras` are those of `EXTRAS`."""

    state_dir: Path
    keys_dir: Path
    ports: dict[str, int]
    web_workers: int
    web_threads: int
    worker_processes: int
    sandbox_time_factor: float
    extras: Collection[str]

    @property
    def web_url(self) -> str:
        return f"http://{HOST}:{self.ports['web']}"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.ports['edge']}" if "edge" in self.extras else self.web_url

    @property
    def sandbox_url(self) -> str:
        return f"http://{HOST}:{self.ports['sandbox']}"

    @property
    def edge_dir(self) -> Path:
        return self.state_dir / "edge"

    @property
    def behind_the_edge(self) -> dict[str, str]:
        """What the others must know of an edge in front: that its word on addresses counts, its log, its pages."""
        if "edge" not in self.extras:
            return {}
        log, pages = self.edge_dir / "access.log", self.edge_dir / "pages"
        return {
            "KAIPIAO_BEHIND_PROXY": "1",
            "KAIPIAO_ACCESS_LOG": str(log),
            **({"KAIPIAO_PAGES_DIR": str(pages)} if "pages" in self.extras else {}),
        }


def possible_extras() -> tuple[str, ...]:
    """Those of `EXTRAS` that this machine can run: the edge needs nginx with its Lua module."""
    return tuple(name for name in EXTRAS if name not in OF_THE_EDGE or not edge.missing())


def of(layout: Layout) -> list[Program]:
    """
    The programs in the order in which they start.

    :raises StackError: the edge is wanted, and this machine has no nginx for it
    """
    if "edge" in layout.extras and edge.missing():
        raise StackError(f"the edge needs packages that are not here: {' '.join(edge.missing())}")
    makers = {"drain": _drain, "pace": _pace, "edge": _edge, "pages": _pages}
    extras = [makers[name](layout) for name in EXTRAS if name in layout.extras]
    return [_sandbox(layout), _web(layout), _worker(layout), _beat(), *extras]


def _sandbox(layout: Layout) -> Program:
    port = layout.ports["sandbox"]
    command = (
        sys.executable, "-m", "payments.sandbox", "serve", "--host", HOST, "--port", str(port),
        "--dir", str(layout.state_dir / "sandbox"), "--keys", str(layout.keys_dir),
        "--time-factor", str(layout.sandbox_time_factor),
        "--app-url", f"{layout.web_url}/notify/alipay/",
    )  # fmt: skip
    return Program(name="sandbox", command=command, is_ready=lambda _logged: connects(port))


def _web(layout: Layout) -> Program:
    command = (
        _script("granian"), "--interface", "wsgi", "--host", HOST, "--port", str(layout.ports["web"]),
        "--workers", str(layout.web_workers),
        # Each thread may hold a database connection: unbounded, they could outnumber Postgres's.
        "--blocking-threads", str(layout.web_threads),
        # Counts connections, also idle ones that a client keeps; the rest wait in the backlog.
        "--backpressure", "512", "--backlog", "2048",
        "--http", "1", "--no-ws",
        "--respawn-failed-workers", "--respawn-interval", "0.5",
        "--workers-kill-timeout", str(int(GRACE_SECONDS / 2)),
        "config.wsgi:application",
    )  # fmt: skip
    return Program(name="web", command=command, is_ready=lambda _logged: answers(f"{layout.web_url}/livez"))


def _worker(layout: Layout) -> Program:
    command = (
        sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", "notify,compensate,default",
        "--concurrency", str(layout.worker_processes), "--loglevel", "INFO",
        "-n", f"worker-{layout.ports['web']}@%h", "--without-gossip", "--without-mingle",
    )  # fmt: skip
    return Program(name="worker", command=command, is_ready=lambda logged: " ready." in logged)


def _beat() -> Program:
    command = (
        sys.executable, "-m", "celery", "-A", "config", "beat", "--loglevel", "INFO",
        # Kept in memory: the usual schedule file is a dbm that a kill leaves unreadable, and beat then
        # never starts again. Nothing is lost, for every job looks for what is due by itself.
        "--scheduler", "celery.beat:Scheduler", "--pidfile", "",
    )  # fmt: skip
    return Program(name="beat", command=command, is_ready=lambda logged: "beat: Starting" in logged)


# -- what a rush needs
# -------------------------------------------------------------------------------------------------------
def _drain(_layout: Layout) -> Program:
    return Program("drain", (sys.executable, "manage.py", "drain"), lambda logged: "Draining as" in logged)


def _pace(_layout: Layout) -> Program:
    return Program("pace", (sys.executable, "manage.py", "pace"), lambda logged: "Pacing" in logged)


def _edge(layout: Layout) -> Program:
    command = (
        sys.executable, "-m", "operations.edge", "run", "--state", str(layout.edge_dir),
        "--listen", f"{HOST}:{layout.ports['edge']}", "--upstream", f"{HOST}:{layout.ports['web']}",
        # A slot more than there are threads only lengthens the wait of those who are inside.
        "--upstream-slots", str(layout.web_workers * layout.web_threads),
        # Everybody comes from one address here; buyers and shows are limited by Django all the same.
        "--reads-per-second", "0", "--writes-per-second", "0",
    )  # fmt: skip
    return Program("edge", command, lambda _logged: answers(f"{layout.url}/edge/livez"))


def _pages(layout: Layout) -> Program:
    command = (
        sys.executable, "manage.py", "render_pages", "--to", str(layout.edge_dir / "pages"),
        "--every", str(RENDER_EVERY_SECONDS),
    )  # fmt: skip
    return Program("pages", command, lambda logged: "Rendering to" in logged)


def _script(name: str) -> str:
    """A console script of the environment that runs us."""
    return str(Path(sys.executable).with_name(name))
