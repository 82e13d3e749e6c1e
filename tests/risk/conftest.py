"""The gate's tests start without a policy, look as often as the product does, and leave none behind."""

from __future__ import annotations

import pytest

from risk import policy


@pytest.fixture(autouse=True)
def _fresh_policy(_nothing_set_at_the_gate: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "LOOK_EVERY_S", 2.0)
    policy.forget()
