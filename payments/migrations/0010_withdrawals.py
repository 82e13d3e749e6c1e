"""Withdrawals: money out, with two people where that is due, and their history."""

import basis.sealed
import django.db.models.deletion
from django.db import migrations, models

from basis.append_only import append_only


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0009_disputes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Withdrawal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.CharField(max_length=32, unique=True)),
                ('owner_kind', models.CharField(choices=[('buyer', 'buyer'), ('merchant', 'organiser')], max_length=8, verbose_name='whose')),
                ('owner', models.CharField(max_length=40, verbose_name='owner')),
                ('account', models.CharField(max_length=64)),
                ('client_key', models.CharField(max_length=255)),
                ('amount_minor', models.BigIntegerField(verbose_name='amount')),
                ('currency', models.CharField(max_length=3)),
                ('channel', models.CharField(max_length=16, verbose_name='channel')),
                ('payee_kind', models.CharField(choices=[('alipay', 'Alipay account'), ('bank', 'bank card')], max_length=8, verbose_name='paid to')),
                ('payee_account', basis.sealed.SealedTextField()),
                ('payee_name', basis.sealed.SealedTextField()),
                ('payee_shown', models.CharField(max_length=64, verbose_name='account')),
                ('state', models.CharField(choices=[('waiting', 'asked for'), ('ready', 'to be sent'), ('sent', 'on its way'), ('paid', 'paid out'), ('refused', 'refused, money back'), ('returned', 'returned by the bank, money back')], default='waiting', max_length=16, verbose_name='state')),
                ('needs_two', models.BooleanField(default=False, verbose_name='two people')),
                ('requested_by', models.CharField(max_length=64, verbose_name='asked by')),
                ('approved_by', models.CharField(blank=True, default='', max_length=64, verbose_name='approved by')),
                ('refusal', models.CharField(blank=True, default='', max_length=64, verbose_name='refusal')),
                ('refusal_text', models.CharField(blank=True, default='', max_length=200)),
                ('channel_reference', models.CharField(blank=True, default='', max_length=64, verbose_name="the channel's number")),
                ('created_at', models.DateTimeField(verbose_name='time')),
                ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='sent at')),
                ('ended_at', models.DateTimeField(blank=True, null=True, verbose_name='ended at')),
            ],
            options={
                'verbose_name': 'withdrawal',
                'verbose_name_plural': 'withdrawals',
                'permissions': [('request_withdrawal', "Can ask for an organiser's withdrawal"), ('approve_withdrawal', "Can approve an organiser's withdrawal as the second person")],
                'indexes': [models.Index(fields=['owner_kind', 'owner', '-id'], name='payments_withdrawal_owner'), models.Index(condition=models.Q(('state__in', ('waiting', 'ready', 'sent'))), fields=['created_at'], name='payments_withdrawal_open')],
                'constraints': [models.UniqueConstraint(fields=('owner_kind', 'owner', 'client_key'), name='payments_withdrawal_once'), models.CheckConstraint(condition=models.Q(('amount_minor__gt', 0)), name='payments_withdrawal_positive'), models.CheckConstraint(condition=models.Q(models.Q(('approved_by', ''), models.Q(('approved_by', models.F('requested_by')), _negated=True), _connector='OR'), models.Q(('needs_two', False), models.Q(('approved_by', ''), _negated=True), ('state__in', ('waiting', 'refused')), _connector='OR')), name='payments_withdrawal_two_people'), models.CheckConstraint(condition=models.Q(models.Q(('ended_at', None), ('state__in', ('waiting', 'ready', 'sent'))), models.Q(models.Q(('state__in', ('waiting', 'ready', 'sent')), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='payments_withdrawal_ended_has_time')],
            },
        ),
        migrations.CreateModel(
            name='WithdrawalEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_state', models.CharField(blank=True, max_length=16)),
                ('to_state', models.CharField(max_length=16)),
                ('at', models.DateTimeField()),
                ('reason', models.CharField(max_length=64)),
                ('actor', models.CharField(blank=True, max_length=64)),
                ('facts', models.JSONField(blank=True, default=dict)),
                ('withdrawal', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='payments.withdrawal')),
            ],
            options={
                'verbose_name': 'withdrawal event',
                'verbose_name_plural': 'withdrawal events',
            },
        ),
        append_only("payments_withdrawalevent"),
    ]
