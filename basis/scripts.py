"""
Lua scripts of the fast store. One file, two callers: Django runs it from here, nginx runs the same file at the edge.

A script names every key that it touches in KEYS, all with one hash tag, so that it also runs on a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from basis import fast


class Script:
    """A Lua file, sent to the store once and called by its hash afterwards."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    def run(self, *, keys: Sequence[str], args: Sequence[str | int | float | bytes] = ()) -> Any:
        """
        Run the script atomically; answer what it returns.

        :raises basis.fast.FastStoreAway: the store did not answer; whether the script ran is not known
        """
        return fast.store().register_script(self.text)(keys=list(keys), args=list(args))
