"""A device on a list stays on it while the key of its blind index is changed."""

import pytest
from django.utils import timezone

from risk import gate_web, lists
from risk.models import ListEntry, ListKind, Subject

MARK = "a-device-of-sixteen-letters"


@pytest.mark.parametrize("keys", [["0b" * 32], ["0c" * 32, "0b" * 32]])
def test_a_denied_device_stays_denied(rf, settings, keys):
    settings.DATA_KEYS = ["0b" * 32]
    value, _hint = lists.stored(Subject.DEVICE, MARK)
    held = lists.built([ListEntry(kind=ListKind.DENY, subject=Subject.DEVICE, value=value, reason="bot")])
    settings.DATA_KEYS, now = keys, timezone.now()
    for mark, reason in ((MARK, "bot"), ("another-device-entirely", None)):
        request = rf.get("/", headers={gate_web.DEVICE_HEADER: mark})
        found = held.find(gate_web.features_of(request, "order", now=now), now=now)
        assert (found.reason if found else None) == reason
