from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Path:
    """Where statements are kept during a test."""
    settings.STATEMENTS_DIR = tmp_path / "statements"
    return settings.STATEMENTS_DIR
