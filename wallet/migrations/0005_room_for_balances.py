"""A balance changes beside the old row: pages of accounts keep room for it, or five indexes hear of every payment."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("wallet", "0004_lighter_indexes")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE wallet_account SET (fillfactor = 70)", "ALTER TABLE wallet_account RESET (fillfactor)"
        )
    ]
