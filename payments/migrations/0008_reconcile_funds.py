"""Which statement of movements a run booked: one that came while its day was being compared is not forgotten."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0007_lighter_indexes'),
    ]

    operations = [
        migrations.AddField(
            model_name='reconcilerun',
            name='funds',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.statement', verbose_name='movements of money'),
        ),
    ]
