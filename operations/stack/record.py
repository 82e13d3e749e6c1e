"""`stack.json`: what runs where, for other commands, and how they end it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from operations import devservices, processes

GRACE_SECONDS = 10.0


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
    """
    What other commands need to know about a stack, as it stands in `stack.json`. `url` is where buyers go: the edge if
    there is one, else the web server, which has `web_url` in any case.
    """

    url: str
    web_url: str
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


def state_dir_of(given: Path | None) -> Path:
    return (given or devservices.paths().state).resolve()


def write(info: StackInfo) -> None:
    record = Path(info.state_dir) / "stack.json"
    half = record.with_suffix(".half")
    half.write_text(json.dumps(asdict(info), indent=2) + "\n")
    half.replace(record)


def erase(state_dir: Path) -> None:
    (state_dir / "stack.json").unlink(missing_ok=True)


def running_stack(*, state_dir: Path | None = None) -> StackInfo | None:
    """The stack recorded in this state directory, if its supervisor is still that process."""
    try:
        facts = json.loads((state_dir_of(state_dir) / "stack.json").read_text())
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
