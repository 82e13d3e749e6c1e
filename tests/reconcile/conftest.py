"""Days of statements for tests: small planted days, and lines put down by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from payments.models import Discrepancy, Statement
from payments.statement_models import StatementSource

DAY = date(2026, 11, 19)
MORNING_AFTER = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, settings: Any) -> None:
    settings.STATEMENTS_DIR = tmp_path / "statements"


@pytest.fixture
def load() -> Callable[..., Statement]:
    """`load(path, day)`: as the product loads an uploaded file."""
    from payments.statements.load import Wanted
    from payments.statements.load import load as load_file

    def loaded(path: Path, day: date, *, replace: bool = False) -> Statement:
        with path.open("rb") as file:
            return load_file(
                file,
                wanted=Wanted(day=day),
                source=StatementSource.UPLOADED,
                now=MORNING_AFTER + (day - DAY),
                by="lin",
                replace=replace,
            )

    return loaded


def unsettled() -> set[tuple[str, str]]:
    rows = Discrepancy.objects.filter(state__in=["open", "carried"])
    return set(rows.values_list("klass", "number"))


def later(days: float) -> datetime:
    return MORNING_AFTER + timedelta(days=days)
