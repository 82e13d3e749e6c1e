"""Histories are append-only, in the database itself."""

from django.db import migrations

from basis.append_only import append_only


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_initial")]
    operations = [append_only("payments_paymentevent"), append_only("payments_refundevent")]
