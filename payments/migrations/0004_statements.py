"""The channels' statements. Once loaded, a line never changes and a statement only learns what replaced it."""

import django.db.models.deletion
import payments.statement_models
from django.db import migrations, models
from django.db.migrations.operations import RunSQL

from basis.append_only import append_only

KEPT = """
CREATE FUNCTION payments_statement_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.replaced_by_id IS NULL
     AND to_jsonb(NEW) - 'replaced_by_id' = to_jsonb(OLD) - 'replaced_by_id' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'statements are kept as they came: % refused', TG_OP
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payments_statement_is_kept';
END $$;
CREATE TRIGGER payments_statement_is_kept BEFORE UPDATE OR DELETE ON payments_statement
  FOR EACH ROW EXECUTE FUNCTION payments_statement_is_kept();
"""
FORGOTTEN = """
DROP TRIGGER payments_statement_is_kept ON payments_statement;
DROP FUNCTION payments_statement_is_kept();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0003_channel_entry'),
    ]

    operations = [
        migrations.CreateModel(
            name='Statement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.CharField(max_length=16, verbose_name='channel')),
                ('kind', models.CharField(choices=[('trade', 'payments and refunds'), ('funds', 'movements of money')], max_length=8, verbose_name='kind')),
                ('day', models.DateField(verbose_name='day')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('sha256', models.CharField(max_length=64, verbose_name='SHA-256')),
                ('source', models.CharField(choices=[('fetched', 'fetched from the channel'), ('uploaded', 'uploaded by staff')], max_length=8, verbose_name='source')),
                ('file', models.FileField(blank=True, max_length=200, storage=payments.statement_models.private_files, upload_to='', verbose_name='file')),
                ('lines', models.IntegerField(verbose_name='lines')),
                ('totals', models.JSONField(default=dict, verbose_name='totals')),
                ('loaded_at', models.DateTimeField(verbose_name='loaded at')),
                ('uploaded_by', models.CharField(blank=True, max_length=64, verbose_name='uploaded by')),
                ('replaced_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.statement', verbose_name='replaced by')),
            ],
            options={
                'verbose_name': 'statement',
                'verbose_name_plural': 'statements',
            },
        ),
        migrations.CreateModel(
            name='StatementLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('line_no', models.IntegerField(verbose_name='line')),
                ('channel', models.CharField(max_length=16, verbose_name='channel')),
                ('day', models.DateField(verbose_name='day')),
                ('kind', models.CharField(choices=[('payment', 'payment'), ('refund', 'refund'), ('fee', 'fee'), ('transfer', 'transfer to the bank'), ('other', 'something else')], max_length=16, verbose_name='kind')),
                ('number', models.CharField(blank=True, max_length=64, verbose_name='number')),
                ('payment_number', models.CharField(blank=True, max_length=64, verbose_name='payment')),
                ('reference', models.CharField(blank=True, max_length=64, verbose_name="channel's number")),
                ('amount_minor', models.BigIntegerField(verbose_name='amount')),
                ('fee_milli', models.BigIntegerField(verbose_name='fee')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('status', models.CharField(max_length=32, verbose_name='status')),
                ('happened_at', models.DateTimeField(verbose_name='happened at')),
                ('statement', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.statement')),
            ],
            options={
                'verbose_name': 'statement line',
                'verbose_name_plural': 'statement lines',
            },
        ),
        migrations.AddConstraint(
            model_name='statement',
            constraint=models.UniqueConstraint(fields=('channel', 'kind', 'day', 'sha256'), name='payments_statement_once'),
        ),
        migrations.AddConstraint(
            model_name='statement',
            constraint=models.UniqueConstraint(condition=models.Q(('replaced_by', None)), fields=('channel', 'kind', 'day'), name='payments_statement_one_counts'),
        ),
        migrations.AddConstraint(
            model_name='statement',
            constraint=models.CheckConstraint(condition=models.Q(('lines__gte', 0)), name='payments_statement_lines_counted'),
        ),
        migrations.AddIndex(
            model_name='statementline',
            index=models.Index(fields=['channel', 'day', 'kind'], name='payments_line_day'),
        ),
        migrations.AddIndex(
            model_name='statementline',
            index=models.Index(fields=['number'], name='payments_line_number'),
        ),
        RunSQL(KEPT, FORGOTTEN),
        append_only('payments_statementline'),
    ]
