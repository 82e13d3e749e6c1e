"""
Lua scripts of the fast store. One file, two callers: Django runs it from here, nginx runs the same file at the edge.

A script names every key that it touches in KEYS, all with one hash tag, so that it also runs on a cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from basis import fast


class Script:
    """A Lua file, sent to the store once and called by its hash afterwards."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def sha(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, *, keys: Sequence[str], args: Sequence[str | int | float | bytes] = ()) -> Any:
        """
        Run the script atomically; answer what it returns.

        :raises basis.fast.FastStoreAway: the store did not answer; whether the script ran is not known
        """
        store = fast.store()
        try:
            return store.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            # A store that was restarted or wiped has forgotten it; EVAL teaches it again, on every node of a cluster.
            return store.eval(self.text, len(keys), *keys, *args)
