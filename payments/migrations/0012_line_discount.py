"""What of a line's amount a discount at our own cost took off at the channel."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0011_recorded_late")]
    operations = [
        migrations.AddField(
            model_name="statementline",
            name="discount_minor",
            field=models.BigIntegerField(db_default=0, default=0, verbose_name="of it a discount of ours"),
        ),
    ]
