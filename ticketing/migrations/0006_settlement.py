"""Settlement with organisers: one record per show, its moves, and what the database refuses of them."""

import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


from basis.append_only import append_only

GUARD_MOVES = """
CREATE FUNCTION ticketing_guard_settlementmove() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  rate bigint;
  moved record;
BEGIN
  SELECT fee_bps INTO rate FROM ticketing_showsettlement WHERE id = NEW.settlement_id;
  SELECT count(*) AS times, sum(gross_minor) AS gross, sum(fee_minor) AS fee INTO moved
    FROM ticketing_settlementmove WHERE settlement_id = NEW.settlement_id;
  IF moved.times <> NEW.nth THEN
    RAISE EXCEPTION 'move % of settlement % is not its next one', NEW.nth, NEW.settlement_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ticketing_settlementmove_next';
  END IF;
  IF moved.gross < 0 OR (NEW.gross_minor > 0 AND moved.gross > NEW.paid_minor - NEW.refunded_minor) THEN
    RAISE EXCEPTION 'settlement % would move more than its show took', NEW.settlement_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ticketing_settlementmove_within_taken';
  END IF;
  IF moved.fee <> div(moved.gross * rate + 5000, 10000) THEN
    RAISE EXCEPTION 'settlement % would charge another fee than % basis points', NEW.settlement_id, rate
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ticketing_settlementmove_fee_agreed';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER ticketing_guard_settlementmove AFTER INSERT ON ticketing_settlementmove
  FOR EACH ROW EXECUTE FUNCTION ticketing_guard_settlementmove();

CREATE FUNCTION ticketing_guard_settlement_fee() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM ticketing_settlementmove WHERE settlement_id = OLD.id) THEN
    RAISE EXCEPTION 'settlement % has moved money and keeps its fee', OLD.number
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ticketing_showsettlement_fee_kept';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER ticketing_guard_settlement_fee BEFORE UPDATE OF fee_bps ON ticketing_showsettlement
  FOR EACH ROW WHEN (OLD.fee_bps IS DISTINCT FROM NEW.fee_bps) EXECUTE FUNCTION ticketing_guard_settlement_fee();
"""
UNGUARD_MOVES = """
DROP TRIGGER ticketing_guard_settlementmove ON ticketing_settlementmove;
DROP FUNCTION ticketing_guard_settlementmove();
DROP TRIGGER ticketing_guard_settlement_fee ON ticketing_showsettlement;
DROP FUNCTION ticketing_guard_settlement_fee();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ticketing', '0006_show_cancellation'),
    ]

    operations = [
        migrations.CreateModel(
            name='SettlementMove',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('nth', models.PositiveIntegerField(verbose_name='no.')),
                ('gross_minor', models.BigIntegerField(verbose_name='out of guarantee')),
                ('fee_minor', models.BigIntegerField(verbose_name='fee')),
                ('net_minor', models.BigIntegerField(verbose_name='to the organiser')),
                ('paid_minor', models.BigIntegerField(verbose_name='taken')),
                ('refunded_minor', models.BigIntegerField(verbose_name='gone back')),
                ('at', models.DateTimeField(verbose_name='time')),
            ],
            options={
                'verbose_name': 'move of a settlement',
                'verbose_name_plural': 'moves of settlements',
            },
        ),
        migrations.CreateModel(
            name='ShowSettlement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.CharField(max_length=32, unique=True)),
                ('merchant', models.CharField(db_index=True, max_length=40, verbose_name='organiser')),
                ('currency', models.CharField(max_length=3)),
                ('fee_bps', models.PositiveIntegerField(default=0, validators=[django.core.validators.MaxValueValidator(10000)], verbose_name='fee (basis points)')),
                ('standing', models.CharField(choices=[('due', 'waiting'), ('settled', 'settled'), ('owing', 'the organiser owes')], default='due', max_length=8, verbose_name='standing')),
                ('waits_for', models.JSONField(blank=True, default=list, verbose_name='waits for')),
                ('orders', models.IntegerField(default=0, verbose_name='paid orders')),
                ('paid_minor', models.BigIntegerField(default=0, verbose_name='taken')),
                ('refunded_minor', models.BigIntegerField(default=0, verbose_name='gone back')),
                ('opened_at', models.DateTimeField(verbose_name='opened at')),
                ('looked_at', models.DateTimeField(verbose_name='looked at')),
            ],
            options={
                'verbose_name': 'settlement with an organiser',
                'verbose_name_plural': 'settlements with organisers',
            },
        ),
        migrations.AddField(
            model_name='organiser',
            name='fee_bps',
            field=models.PositiveIntegerField(db_default=500, default=500, validators=[django.core.validators.MaxValueValidator(10000)], verbose_name='fee (basis points)'),
        ),
        migrations.AlterField(
            model_name='organiser',
            name='code',
            field=models.SlugField(max_length=40, unique=True),
        ),
        migrations.AddConstraint(
            model_name='organiser',
            constraint=models.CheckConstraint(condition=models.Q(('fee_bps__gte', 0), ('fee_bps__lte', 10000)), name='ticketing_organiser_fee'),
        ),
        migrations.AddField(
            model_name='showsettlement',
            name='show',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='settlements', to='ticketing.show'),
        ),
        migrations.AddField(
            model_name='settlementmove',
            name='settlement',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='moves', to='ticketing.showsettlement'),
        ),
        migrations.AddConstraint(
            model_name='showsettlement',
            constraint=models.UniqueConstraint(fields=('show', 'currency'), name='ticketing_showsettlement_one'),
        ),
        migrations.AddConstraint(
            model_name='showsettlement',
            constraint=models.CheckConstraint(condition=models.Q(('paid_minor__gte', 0), ('refunded_minor__gte', 0), ('refunded_minor__lte', models.F('paid_minor'))), name='ticketing_showsettlement_amounts'),
        ),
        migrations.AddConstraint(
            model_name='showsettlement',
            constraint=models.CheckConstraint(condition=models.Q(('fee_bps__gte', 0), ('fee_bps__lte', 10000)), name='ticketing_showsettlement_fee'),
        ),
        migrations.AddConstraint(
            model_name='settlementmove',
            constraint=models.UniqueConstraint(fields=('settlement', 'nth'), name='ticketing_settlementmove_once'),
        ),
        migrations.AddConstraint(
            model_name='settlementmove',
            constraint=models.CheckConstraint(condition=models.Q(('gross_minor', django.db.models.expressions.CombinedExpression(models.F('fee_minor'), '+', models.F('net_minor'))), models.Q(('gross_minor', 0), _negated=True)), name='ticketing_settlementmove_adds_up'),
        ),
        migrations.AddConstraint(
            model_name='settlementmove',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('fee_minor__gte', 0), ('gross_minor__gt', 0), ('net_minor__gte', 0)), models.Q(('fee_minor__lte', 0), ('gross_minor__lt', 0), ('net_minor__lte', 0)), _connector='OR'), name='ticketing_settlementmove_one_way'),
        ),
        migrations.RunSQL(GUARD_MOVES, UNGUARD_MOVES),
        append_only("ticketing_settlementmove"),
    ]
