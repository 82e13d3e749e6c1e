"""The desk's five groups (desk.roles)."""

from django.db import migrations


def make(apps, schema_editor):
    from desk import roles

    roles.make_groups()


class Migration(migrations.Migration):
    dependencies = [
        ("desk", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
