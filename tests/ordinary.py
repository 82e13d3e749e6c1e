"""Tests that root runs as an ordinary user: can that user reach the interpreter, its packages and this checkout?"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest


def reachable(path: str | Path) -> bool:
    """Whether everybody may walk to `path` and read or run it."""
    real = Path(os.path.realpath(path))
    return all(os.stat(step).st_mode & 0o005 == 0o005 for step in [real, *real.parents])


def python_for_anybody() -> str:
    """This interpreter; skips where it lies in somebody's home (`scripts/venv` avoids that where it can)."""
    here = os.path.realpath(sys.executable)
    if not reachable(here):
        pytest.skip(f"an ordinary user may not run {here}: make .venv with the system's python3")
    return here


def packages_for_anybody() -> str:
    """Where this environment's packages are; skips where an ordinary user may not look."""
    found = sysconfig.get_paths()["purelib"]
    if not reachable(found):
        pytest.skip("the checkout lies where an ordinary user may not look")
    return found
