"""Tests that root runs as an ordinary user: which interpreter and which folders can that user reach?"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"


def reachable(path: str | Path) -> bool:
    """Whether everybody may walk to `path` and read or run it."""
    real = Path(os.path.realpath(path))
    return all(os.stat(step).st_mode & 0o005 == 0o005 for step in [real, *real.parents])


def python_for_anybody() -> str:
    """This interpreter, or the system's where this one lies in somebody's home."""
    here = os.path.realpath(sys.executable)
    return here if reachable(here) else SYSTEM_PYTHON


def packages() -> str:
    """Where this environment's packages are."""
    return sysconfig.get_paths()["purelib"]
