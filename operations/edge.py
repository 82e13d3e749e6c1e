"""
The nginx edge, started and stopped without touching the system's own; `operations.edge_config` says what it is made of.

Everything that it writes lies below one state directory: configuration, keys (for this user's eyes only), pid file,
logs, cache. It runs as root and as an ordinary user, beside any other nginx.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from operations import processes
from operations.edge_config import (
    ROOT,
    Edge,
    EdgeError,
    Limit,
    binary,
    missing,
    render,
    settings,
    usual_limits,
)

__all__ = ["ROOT", "Edge", "EdgeError", "Limit", "binary", "missing", "render", "usual_limits"]

START_SECONDS, STOP_SECONDS = 10.0, 10.0


def start(edge: Edge) -> None:
    """
    Render and start; returns when it answers.

    :raises EdgeError: nginx does not accept the configuration, or does not answer
    """
    render(edge)
    done = _nginx(edge)
    if done.returncode != 0:
        raise EdgeError(f"nginx does not start:\n{done.stderr.strip()}")
    deadline = time.monotonic() + START_SECONDS
    while not _answers(edge):
        if time.monotonic() > deadline:
            stop(edge.state)
            raise EdgeError(f"the edge does not answer at {edge.url}; see {edge.state / 'error.log'}")
        time.sleep(0.02)


def become(edge: Edge) -> NoReturn:
    """
    Render, and be this very process from now on, for a supervisor that starts again what ends.

    :raises EdgeError: see `render`
    """
    render(edge)
    command = _command(edge, "-g", "daemon off;")
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def reload(edge: Edge) -> None:
    """
    Render again and take it over without dropping a connection.

    :raises EdgeError: it does not run, or nginx does not accept the configuration
    """
    render(edge)
    done = _nginx(edge, "-s", "reload")
    if done.returncode != 0:
        raise EdgeError(f"nginx does not reload:\n{done.stderr.strip()}")


def stop(state: Path) -> bool:
    """End the edge of this state directory; False if none ran."""
    master = running(state)
    if master is None:
        return False
    processes.end([master], first=signal.SIGQUIT, grace_seconds=2.0)
    return processes.wait_gone([master], timeout_seconds=STOP_SECONDS)


def running(state: Path) -> processes.Process | None:
    """The master process, if it lives."""
    try:
        return processes.find(int((state / "nginx.pid").read_text()))
    except (OSError, ValueError):
        return None


def _command(edge: Edge, *more: str) -> list[str]:
    place = ["-p", str(edge.state), "-e", str(edge.state / "error.log"), "-c", str(edge.conf)]
    return [str(binary()), *place, *more]


def _nginx(edge: Edge, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(edge, *more), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def _answers(edge: Edge) -> bool:
    if edge.tls:
        return running(edge.state) is not None
    try:
        with urllib.request.urlopen(f"{edge.url}/edge/livez", timeout=2.0) as response:  # noqa: S310 - ours
            return bool(response.status == 200)
    except OSError:
        return False


# -- scripts/edge
# ---------------------------------------------------------------------------------------------------
def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        return _do(asked)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 1


def _do(asked: argparse.Namespace) -> int:
    state = asked.state.resolve()
    if asked.action == "stop":
        print("stopped" if stop(state) else "nothing ran")
        return 0
    if asked.action == "status":
        print("runs" if running(state) else "does not run")
        return 0 if running(state) else 1
    edge = _edge(asked, state)
    {"render": render, "start": start, "run": become, "reload": reload}[asked.action](edge)
    print(edge.conf if asked.action == "render" else edge.url)
    return 0


def _edge(asked: argparse.Namespace, state: Path) -> Edge:
    found = settings()
    limits = usual_limits(reads=asked.reads_per_second, writes=asked.writes_per_second)
    return Edge(
        state=state,
        listen=asked.listen,
        upstream=asked.upstream,
        redis_url=asked.redis or found.REDIS_URL,
        workers=asked.workers,
        connections=asked.connections,
        upstream_slots=asked.upstream_slots,
        static=Path(found.STATIC_ROOT),
        pages=asked.pages,
        limits=limits,
        trust=asked.trust,
        tls=tuple(asked.tls) if asked.tls else None,
        user=asked.user,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/edge", description="The nginx edge, on its own or beside another."
    )
    parser.add_argument("action", choices=["render", "start", "run", "reload", "stop", "status"])
    parser.add_argument("--state", type=Path, required=True, help="directory for everything that it writes")
    parser.add_argument("--listen", default="8080", help="port, or address:port (8080)")
    parser.add_argument("--upstream", default="127.0.0.1:8000", help="granian (127.0.0.1:8000)")
    parser.add_argument("--redis", default="", help="URL of the fast store (the settings' REDIS_URL)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=8192, help="per worker (8192)")
    parser.add_argument("--upstream-slots", type=int, default=64, help="requests at once for Python (64)")
    parser.add_argument("--pages", type=Path, help="where `manage.py render_pages` writes (STATE/pages)")
    parser.add_argument("--reads-per-second", type=int, default=200, help="of one address; 0: no limit (200)")
    parser.add_argument("--writes-per-second", type=int, default=50, help="of one address; 0: no limit (50)")
    parser.add_argument("--trust", action="append", default=[], help="network of a CDN or balancer in front")
    parser.add_argument("--tls", nargs=2, type=Path, metavar=("CHAIN", "KEY"), help="PEM files")
    parser.add_argument("--user", default="", help="of the workers, where root starts them")
    return parser


if __name__ == "__main__":
    sys.exit(main())
