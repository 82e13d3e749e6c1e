"""Shows that do not take place: who decided it, and how far giving everything back is."""

import django.db.models.deletion
from django.db import migrations, models

from basis.append_only import append_only


class Migration(migrations.Migration):
    dependencies = [
        ("ticketing", "0005_lighter_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="show",
            name="cancelled_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="refundrequest",
            name="asked_by",
            field=models.CharField(
                choices=[
                    ("buyer", "the buyer, by the published rule"),
                    ("staff", "staff"),
                    ("show", "the show was cancelled"),
                ],
                max_length=5,
                verbose_name="asked by",
            ),
        ),
        migrations.CreateModel(
            name="ShowCancellation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ending", "ending orders and asking for refunds"),
                            ("returning", "every refund is asked for, money is on its way"),
                            ("done", "all money is back"),
                        ],
                        default="ending",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                (
                    "said_zh",
                    models.CharField(
                        blank=True, default="", max_length=300, verbose_name="told to buyers (Chinese)"
                    ),
                ),
                (
                    "said_en",
                    models.CharField(
                        blank=True, default="", max_length=300, verbose_name="told to buyers (English)"
                    ),
                ),
                ("actor", models.CharField(max_length=64, verbose_name="who")),
                (
                    "approved_by",
                    models.CharField(blank=True, default="", max_length=64, verbose_name="approved by"),
                ),
                ("expected", models.JSONField(blank=True, default=dict)),
                ("cancelled_at", models.DateTimeField(verbose_name="time")),
                ("done_at", models.DateTimeField(blank=True, null=True, verbose_name="done at")),
                (
                    "show",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cancellation",
                        to="ticketing.show",
                        verbose_name="show",
                    ),
                ),
            ],
            options={
                "verbose_name": "cancelled show",
                "verbose_name_plural": "cancelled shows",
                "permissions": [("cancel_show", "Can cancel shows")],
            },
        ),
        migrations.CreateModel(
            name="CancellationEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("from_state", models.CharField(blank=True, max_length=16)),
                ("to_state", models.CharField(max_length=16)),
                ("at", models.DateTimeField()),
                ("reason", models.CharField(max_length=64)),
                ("actor", models.CharField(blank=True, max_length=64)),
                ("facts", models.JSONField(blank=True, default=dict)),
                (
                    "cancellation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="ticketing.showcancellation",
                    ),
                ),
            ],
            options={
                "verbose_name": "event of a cancelled show",
                "verbose_name_plural": "events of cancelled shows",
            },
        ),
        migrations.AddConstraint(
            model_name="showcancellation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by", ""),
                    models.Q(("approved_by", models.F("actor")), _negated=True),
                    _connector="OR",
                ),
                name="ticketing_showcancellation_two_people",
            ),
        ),
        migrations.AddConstraint(
            model_name="showcancellation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("done_at__isnull", False), ("state", "done")),
                    models.Q(models.Q(("state", "done"), _negated=True), ("done_at", None)),
                    _connector="OR",
                ),
                name="ticketing_showcancellation_done_has_time",
            ),
        ),
        append_only("ticketing_cancellationevent"),
    ]
