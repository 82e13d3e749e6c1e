"""Phases of a show never overlap, and histories are append-only, in the database itself."""

from django.db import migrations

from basis.append_only import append_only

# A range of one id overlaps only itself: this needs no extension, as `WITH =` on an integer would.
PHASES_APART = """
ALTER TABLE ticketing_salephase ADD CONSTRAINT ticketing_salephase_apart EXCLUDE USING gist (
  int8range(show_id, show_id, '[]') WITH &&, tstzrange(opens_at, closes_at) WITH &&
);
"""


class Migration(migrations.Migration):
    dependencies = [("ticketing", "0001_initial")]
    operations = [
        migrations.RunSQL(PHASES_APART, "ALTER TABLE ticketing_salephase DROP CONSTRAINT ticketing_salephase_apart;"),
        append_only("ticketing_orderevent"),
    ]
