"""
The posting trigger looks at the lines with their accounts once, not once a question. It refuses what it refused. And a
balance changes beside the old row: pages of accounts keep room for it, or five indexes hear of every payment.
"""

import importlib

from django.db import migrations

BEFORE = importlib.import_module("wallet.migrations.0002_guards").APPLY.partition("CREATE TRIGGER")[0]

APPLY = """
CREATE OR REPLACE FUNCTION wallet_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  bad record;
BEGIN
  SELECT judged.* INTO bad FROM (
    SELECT entry_id, bool_or(total <> 0) AS unbalanced,
           -- All lines of an entry come in one statement; none may join it later.
           sum(lines) <> (SELECT count(*) FROM wallet_posting sibling WHERE sibling.entry_id = summed.entry_id) AS late,
           (bool_or(bonus_out) AND bool_or(cash_in)) OR (bool_or(cash_out) AND bool_or(bonus_in)) AS mixed
      FROM (
        SELECT added.entry_id, account.currency, count(*) AS lines, sum(added.amount_minor) AS total,
               bool_or(account.kind = 'buyer_bonus' AND added.amount_minor < 0) AS bonus_out,
               bool_or(account.kind = 'buyer_bonus' AND added.amount_minor > 0) AS bonus_in,
               bool_or(account.kind = 'buyer_cash' AND added.amount_minor < 0) AS cash_out,
               bool_or(account.kind = 'buyer_cash' AND added.amount_minor > 0) AS cash_in
          FROM added JOIN wallet_account account ON account.id = added.account_id
         GROUP BY added.entry_id, account.currency
      ) summed GROUP BY entry_id
  ) judged WHERE unbalanced OR late OR mixed LIMIT 1;
  IF FOUND AND bad.unbalanced THEN
    RAISE EXCEPTION 'entry % does not sum to zero', bad.entry_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_entry_balanced';
  ELSIF FOUND AND bad.late THEN
    RAISE EXCEPTION 'entry % has its postings already', bad.entry_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_entry_complete';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'entry % turns bonus into cash or cash into bonus', bad.entry_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_entry_bonus_apart';
  END IF;

  -- One order of locks for everybody: by account id.
  PERFORM 1 FROM wallet_account
    WHERE id IN (SELECT account_id FROM added) AND floor_minor IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE;
  UPDATE wallet_account account SET balance_minor = account.balance_minor + change.total
    FROM (SELECT account_id, sum(amount_minor) AS total FROM added GROUP BY account_id) change
   WHERE account.id = change.account_id AND account.floor_minor IS NOT NULL;
  RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("wallet", "0004_lighter_indexes")]
    operations = [
        migrations.RunSQL(APPLY, BEFORE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")),
        migrations.RunSQL(
            "ALTER TABLE wallet_account SET (fillfactor = 70)", "ALTER TABLE wallet_account RESET (fillfactor)"
        ),
    ]
