"""Every rule that a model names stands in the database: a migration that changes an index may take one along."""

import pytest
from django.apps import apps
from django.db import connection

OURS = ("basis", "accounts", "wallet", "risk", "payments", "ticketing", "desk", "operations")
KEPT = """
SELECT conname FROM pg_constraint UNION SELECT indexrelid::regclass::text FROM pg_index
"""


@pytest.mark.django_db
def test_every_constraint_and_index_of_the_models_is_there():
    with connection.cursor() as cursor:
        cursor.execute(KEPT)
        there = {name for (name,) in cursor.fetchall()}
    named = [
        rule.name
        for model in apps.get_models()
        if model._meta.app_label in OURS and model._meta.managed
        for rule in (*model._meta.constraints, *model._meta.indexes)
    ]
    assert len(named) > 100
    assert set(named) - there == set()
