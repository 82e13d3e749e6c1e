"""Tests that need something of the system: skipped with a plain reason where it is not there, unless all are wanted."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def needed(what: str, reason: str) -> NoReturn:
    """Skip, for `what` is not installed; fail where KAIPIAO_REQUIRE_ALL=1 says that no test may be left out."""
    message = f"{what} is not installed: {reason}"
    if os.environ.get("KAIPIAO_REQUIRE_ALL") == "1":
        pytest.fail(message)
    pytest.skip(message)
