"""Reconciliation's tables, and what nobody may undo in them: a settled discrepancy and a settlement."""

import django.db.models.deletion
from django.db import migrations, models

from basis.append_only import append_only

SETTLED = """
CREATE FUNCTION payments_discrepancy_stays_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'discrepancy % is %: % refused', OLD.id, OLD.state, TG_OP
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payments_discrepancy_stays_settled';
END $$;
CREATE TRIGGER payments_discrepancy_stays_settled BEFORE UPDATE OR DELETE ON payments_discrepancy
  FOR EACH ROW WHEN (OLD.state IN ('resolved', 'explained')) EXECUTE FUNCTION payments_discrepancy_stays_settled();
"""
UNSETTLED = """
DROP TRIGGER payments_discrepancy_stays_settled ON payments_discrepancy;
DROP FUNCTION payments_discrepancy_stays_settled();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0004_statements'),
    ]

    operations = [
        migrations.CreateModel(
            name='Discrepancy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=160, unique=True)),
                ('channel', models.CharField(max_length=16, verbose_name='channel')),
                ('day', models.DateField(verbose_name='day')),
                ('klass', models.CharField(choices=[('missing_here', 'payment unknown here'), ('missing_there', 'payment not listed by the channel'), ('amount_differs', 'amount differs'), ('status_differs', 'state differs'), ('fee_differs', 'fee differs'), ('duplicate', 'listed twice'), ('currency_differs', 'currency differs'), ('reference_differs', "channel's number differs"), ('refund_missing_here', 'refund unknown here'), ('refund_missing_there', 'refund not listed by the channel'), ('refund_amount_differs', 'refunded amount differs'), ('refund_status_differs', "refund's state differs"), ('refund_of_other', 'refund of another payment'), ('crossing', 'crosses the cut-off'), ('ledger_differs', 'ledger differs'), ('funds_differ', 'money moved differs from the statement')], max_length=24, verbose_name='class')),
                ('kind', models.CharField(max_length=16, verbose_name='kind')),
                ('number', models.CharField(blank=True, db_index=True, max_length=64, verbose_name='number')),
                ('ours_minor', models.BigIntegerField(blank=True, null=True, verbose_name='ours')),
                ('theirs_minor', models.BigIntegerField(blank=True, null=True, verbose_name='theirs')),
                ('fee_milli', models.BigIntegerField(blank=True, null=True, verbose_name='fee')),
                ('fee_expected_milli', models.BigIntegerField(blank=True, null=True, verbose_name='fee by contract')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('state', models.CharField(choices=[('open', 'open'), ('carried', 'waits for another day'), ('resolved', 'resolved'), ('explained', 'explained')], max_length=16, verbose_name='state')),
                ('resolution', models.CharField(blank=True, max_length=32, verbose_name='resolution')),
                ('reason', models.CharField(blank=True, max_length=500, verbose_name='reason')),
                ('resolved_by', models.CharField(blank=True, max_length=64, verbose_name='resolved by')),
                ('resolved_at', models.DateTimeField(blank=True, null=True, verbose_name='resolved at')),
                ('facts', models.JSONField(blank=True, default=dict, verbose_name='facts')),
                ('first_seen_day', models.DateField(verbose_name='first seen on the statement of')),
                ('found_at', models.DateTimeField(verbose_name='found at')),
            ],
            options={
                'verbose_name': 'discrepancy',
                'verbose_name_plural': 'discrepancies',
            },
        ),
        migrations.CreateModel(
            name='ReconcileRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64, unique=True)),
                ('channel', models.CharField(max_length=16, verbose_name='channel')),
                ('day', models.DateField(verbose_name='day')),
                ('state', models.CharField(choices=[('running', 'running'), ('done', 'done'), ('failed', 'failed')], default='running', max_length=8, verbose_name='state')),
                ('rounds', models.IntegerField(default=1, verbose_name='rounds')),
                ('started_at', models.DateTimeField(verbose_name='started at')),
                ('finished_at', models.DateTimeField(blank=True, null=True, verbose_name='finished at')),
                ('counts', models.JSONField(blank=True, default=dict, verbose_name='counts')),
                ('error', models.CharField(blank=True, max_length=200, verbose_name='error')),
            ],
            options={
                'verbose_name': 'reconciliation run',
                'verbose_name_plural': 'reconciliation runs',
            },
        ),
        migrations.CreateModel(
            name='Settlement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=80, unique=True)),
                ('channel', models.CharField(max_length=16, verbose_name='channel')),
                ('day', models.DateField(verbose_name='day')),
                ('kind', models.CharField(choices=[('fee', 'fee kept by the channel'), ('transfer', 'sent to our bank')], max_length=8, verbose_name='kind')),
                ('amount_minor', models.BigIntegerField(verbose_name='amount')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('booked_at', models.DateTimeField(verbose_name='booked at')),
            ],
            options={
                'verbose_name': 'settlement',
                'verbose_name_plural': 'settlements',
            },
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('state', 'succeeded')), fields=['channel', 'paid_at'], name='payments_payment_paid'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(condition=models.Q(('state', 'succeeded')), fields=['refunded_at'], name='payments_refund_done'),
        ),
        migrations.AddField(
            model_name='discrepancy',
            name='line',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.statementline', verbose_name='line'),
        ),
        migrations.AddField(
            model_name='discrepancy',
            name='payment',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='discrepancies', to='payments.payment', verbose_name='payment'),
        ),
        migrations.AddField(
            model_name='discrepancy',
            name='refund',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='discrepancies', to='payments.refund', verbose_name='refund'),
        ),
        migrations.AddField(
            model_name='reconcilerun',
            name='statement',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='payments.statement', verbose_name='statement'),
        ),
        migrations.AddField(
            model_name='discrepancy',
            name='run',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='discrepancies', to='payments.reconcilerun', verbose_name='run'),
        ),
        migrations.AddField(
            model_name='settlement',
            name='statement',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='settlements', to='payments.statement', verbose_name='statement'),
        ),
        migrations.AddIndex(
            model_name='reconcilerun',
            index=models.Index(fields=['channel', 'day'], name='payments_run_day'),
        ),
        migrations.AddIndex(
            model_name='discrepancy',
            index=models.Index(condition=models.Q(('state__in', ('open', 'carried'))), fields=['channel', 'day'], name='payments_discrepancy_unsettled'),
        ),
        migrations.AddIndex(
            model_name='discrepancy',
            index=models.Index(fields=['channel', 'day', 'klass'], name='payments_discrepancy_day'),
        ),
        migrations.AddConstraint(
            model_name='discrepancy',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('resolution', ''), ('resolved_at', None), ('state__in', ('open', 'carried'))), models.Q(models.Q(('state__in', ('open', 'carried')), _negated=True), ('resolved_at__isnull', False), models.Q(('resolution', ''), _negated=True)), _connector='OR'), name='payments_discrepancy_settled_has_time'),
        ),
        migrations.AddIndex(
            model_name='settlement',
            index=models.Index(fields=['channel', 'day'], name='payments_settlement_day'),
        ),
        migrations.AddConstraint(
            model_name='settlement',
            constraint=models.CheckConstraint(condition=models.Q(('amount_minor', 0), _negated=True), name='payments_settlement_not_zero'),
        ),
        migrations.RunSQL(SETTLED, UNSETTLED),
        append_only("payments_settlement"),
    ]
