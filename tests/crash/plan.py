"""
Which process is to die at which step boundary: a few numbers in a file that the test, the house and the sandbox share.

A process that arrives at a boundary counts it; the one that counts to `kill_at` is gone that instant, once.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

NOBODY = {"who": "", "kill_at": 0, "names": [], "ahead_s": 0.0}


class Plan:
    """The plan in the file at `path`. Every change holds the file's lock, so processes may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_text(json.dumps(NOBODY))

    def begin(self, *, who: str, kill_at: int) -> None:
        """From now on boundaries of `who` are counted, from 1; `kill_at` 0 lets all live."""
        self._change(**NOBODY | {"who": who, "kill_at": kill_at})

    def end(self) -> list[str]:
        """Nobody dies from now on; the names of the boundaries that were reached."""
        return list(self._change(who="")["names"])

    def pass_time(self, *, seconds: float) -> None:
        """The product's clock goes this much further ahead of the machine's."""
        self._change(ahead_s=self.ahead_s + seconds)

    @property
    def ahead_s(self) -> float:
        with self._locked() as file:
            return float(json.loads(file.read())["ahead_s"])

    def boundary(self, who: str, name: str) -> None:
        """`who` has come to a step boundary; it may be the last thing that it does."""
        with self._locked() as file:
            facts = json.loads(file.read())
            if facts["who"] != who:
                return
            facts["names"].append(name)
            self._write(file, facts)
            if len(facts["names"]) == facts["kill_at"]:
                os.kill(os.getpid(), signal.SIGKILL)

    def _change(self, **values: Any) -> dict[str, Any]:
        with self._locked() as file:
            facts = json.loads(file.read())
            self._write(file, facts | values)
        return facts

    def _write(self, file: TextIO, facts: dict[str, Any]) -> None:
        file.seek(0)
        file.truncate()
        file.write(json.dumps(facts))
        file.flush()

    @contextmanager
    def _locked(self) -> Iterator[TextIO]:
        with self.path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
