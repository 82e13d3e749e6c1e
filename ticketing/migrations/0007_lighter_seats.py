"""
A seat changes twice on its way to its buyer. Held to sold it changes in no index, and pages have room for it beside the
old row; nobody looks for the seats of a row without the show, or for a seat's tickets but those that count.
"""

import django.db.models.deletion
from django.db import migrations, models

ROOM = "ALTER TABLE ticketing_seat SET (fillfactor = 60)"


class Migration(migrations.Migration):

    dependencies = [
        ('ticketing', '0006_settlement'),
    ]

    operations = [
        migrations.RemoveIndex(model_name='seat', name='ticketing_seat_free'),
        migrations.RemoveIndex(model_name='seat', name='ticketing_seat_tier_state'),
        migrations.AlterField(
            model_name='seat',
            name='row',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ticketing.row'),
        ),
        # Django drops every index of the column, also the one that lets a seat have one valid ticket.
        migrations.RemoveConstraint(model_name='ticket', name='ticketing_ticket_one_per_seat'),
        migrations.AlterField(
            model_name='ticket',
            name='seat',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='tickets', to='ticketing.seat'),
        ),
        migrations.AddConstraint(
            model_name='ticket',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'void'), _negated=True), fields=('seat',), name='ticketing_ticket_one_per_seat'),
        ),
        migrations.AddIndex(
            model_name='seat',
            index=models.Index(condition=models.Q(('order', None)), fields=['tier', 'row_rank', 'row', 'position'], name='ticketing_seat_free'),
        ),
        migrations.RunSQL(ROOM, "ALTER TABLE ticketing_seat RESET (fillfactor)"),
    ]
