"""The entries of about a day, for its statement."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("wallet", "0005_room_for_balances")]
    operations = [
        AddIndexConcurrently(
            model_name="journalentry",
            index=BrinIndex(
                autosummarize=True, fields=["at"], name="wallet_journalentry_at", pages_per_range=32
            ),
        ),
    ]
