"""Two kinds of accounts more: where settlements go."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('wallet', '0002_guards'),
    ]

    operations = [
        migrations.AlterField(
            model_name='account',
            name='kind',
            field=models.CharField(choices=[('buyer_cash', 'buyer, cash'), ('buyer_bonus', 'buyer, bonus'), ('guarantee', 'guarantee'), ('merchant', 'merchant'), ('fee', 'fees'), ('clearing', 'channel clearing'), ('suspense', 'suspense'), ('promotion', 'promotion'), ('opening', 'opening balances'), ('bank', 'our bank account'), ('channel_fee', 'fees kept by channels')], max_length=16),
        ),
    ]
