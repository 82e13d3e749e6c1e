"""What Postgres is told so that a batch costs little, and is not told anywhere else."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.utils import timezone

from ticketing.models import PriceTier
from ticketing.rush import lanes


def asked(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [str(row[0]) for row in cursor.fetchall()]


@pytest.mark.django_db
def test_no_index_of_a_seat_names_its_state():
    # One that did would be written anew, and all the others with it, whenever a held seat is sold.
    defined = asked("SELECT indexdef FROM pg_indexes WHERE tablename = 'ticketing_seat'")
    assert defined
    assert not [one for one in defined if "state" in one]


@pytest.mark.django_db(transaction=True)
def test_pages_by_their_keys_are_cheap_in_a_batch_and_nowhere_else(show):
    usual = asked("SHOW random_page_cost")
    tier = PriceTier.objects.filter(show=show).first()
    fence = lanes.take(tier.pk, worker="w", now=timezone.now())
    with transaction.atomic():
        lanes.keep(tier.pk, fence=fence, now=timezone.now())
        assert asked("SHOW random_page_cost") == ["1.1"]
    assert asked("SHOW random_page_cost") == usual != ["1.1"]
