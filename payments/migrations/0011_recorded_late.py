"""Successes that came after their day had been compared: by when they were recorded, and by what was revoked of them."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("payments", "0010_withdrawals")]
    operations = [
        AddIndexConcurrently(
            model_name="paymentevent",
            index=BrinIndex(
                autosummarize=True, fields=["at"], name="payments_paymentevent_at", pages_per_range=32
            ),
        ),
        AddIndexConcurrently(
            model_name="refundevent",
            index=BrinIndex(
                autosummarize=True, fields=["at"], name="payments_refundevent_at", pages_per_range=32
            ),
        ),
        AddIndexConcurrently(
            model_name="statementline",
            index=models.Index(
                condition=models.Q(("status", "revoked")), fields=["payment_number"], name="payments_line_revoked"
            ),
        ),
    ]
