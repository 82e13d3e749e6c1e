from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from payments.channels import registry
from tests.conftest import T0
from tests.operations.scene import Paper, Scene


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker: Any) -> Iterator[Scene]:
    """Played once; every test breaks it in a savepoint of its own."""
    from payments import outbox

    channels = {code: Paper(code) for code in ("alipay", "wechat")}
    nudges, outbox._nudges[:] = list(outbox._nudges), []
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setattr(registry, "_channels", lambda: channels)
        patch.setattr(registry, "payouts", lambda: {"alipay": channels["alipay"]})
        played = Scene(channels=channels, now=T0)
        played.play()
        with connection.cursor() as cursor:
            # Foreign keys are checked at the end of a transaction; from here on at once, so that tables may be altered.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        yield played
        transaction.set_rollback(True)
    outbox._nudges[:] = nudges


@pytest.fixture
def undone(scene: Scene, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)
