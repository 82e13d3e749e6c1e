from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.channels.rig import Merchant, Sandbox, a_merchant


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for every test that does not kill it."""
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(house: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox with fine weather before and after."""
    yield house
    house.control("DELETE", "faults")
    house.control("POST", "weather", {})


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that a test may kill."""
    sandbox = Sandbox(tmp_path)
    sandbox.start()
    yield sandbox
    if sandbox.process and sandbox.process.poll() is None:
        sandbox.kill()


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    with a_merchant() as merchant:
        yield merchant
