from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Clock
from tests.races import invariants
from tests.races.outside import Outside


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> dict[str, Outside]:
    """Alipay and WeChat Pay, played at the port."""
    from payments.channels import registry

    channels = {
        "alipay": Outside("alipay", lambda: clock.now, lazy=True),
        "wechat": Outside("wechat", lambda: clock.now),
    }
    monkeypatch.setattr(registry, "_channels", lambda: channels)
    return channels


@pytest.fixture
def nothing_broken() -> Callable[[], None]:
    def check() -> None:
        assert invariants.broken() == []

    return check


@pytest.fixture
def comes_to_rest(clock: Clock, outside: dict[str, Outside]) -> Callable[[], None]:
    """Let time pass until nothing is left to do, as the beat and its workers would; then everything must be final."""
    from tests.races.rest import pass_time

    def settle() -> None:
        pass_time(clock)
        assert invariants.broken() == []
        assert invariants.unfinished({code: channel.net_minor for code, channel in outside.items()}) == []

    return settle
