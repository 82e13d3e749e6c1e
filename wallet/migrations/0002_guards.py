"""The ledger's guards, in the database: what they refuse, no program of ours or anybody's can do."""

from django.db import migrations

from basis.append_only import append_only

APPLY = """
CREATE FUNCTION wallet_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  bad bigint;
BEGIN
  SELECT added.entry_id INTO bad
    FROM added JOIN wallet_account account ON account.id = added.account_id
   GROUP BY added.entry_id, account.currency HAVING sum(added.amount_minor) <> 0 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % does not sum to zero', bad
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_entry_balanced';
  END IF;

  -- All lines of an entry come in one statement; none may join it later.
  SELECT entry_id INTO bad FROM added GROUP BY entry_id
    HAVING count(*) <> (SELECT count(*) FROM wallet_posting sibling WHERE sibling.entry_id = added.entry_id) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % has its postings already', bad
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_entry_complete';
  END IF;

  SELECT added.entry_id INTO bad
    FROM added JOIN wallet_account account ON account.id = added.account_id
   WHERE account.kind IN ('buyer_cash', 'buyer_bonus')
   GROUP BY added.entry_id
  HAVING (bool_or(account.kind = 'buyer_bonus' AND added.amount_minor < 0)
          AND bool_or(account.kind = 'buyer_cash' AND added.amount_minor > 0))
      OR (bool_or(account.kind = 'buyer_cash' AND added.amount_minor < 0)
          AND bool_or(account.kind = 'buyer_bonus' AND added.amount_minor > 0)) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % turns bonus into cash or cash into bonus', bad
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
CREATE TRIGGER wallet_apply_postings AFTER INSERT ON wallet_posting
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION wallet_apply_postings();
"""

GUARD_BALANCE = """
CREATE FUNCTION wallet_guard_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Depth 1 is somebody's own UPDATE; the posting trigger's comes from depth 2.
  IF pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION 'the balance of % changes by postings only', OLD.code
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_balance_by_postings';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER wallet_guard_balance BEFORE UPDATE OF balance_minor ON wallet_account
  FOR EACH ROW WHEN (OLD.balance_minor IS DISTINCT FROM NEW.balance_minor) EXECUTE FUNCTION wallet_guard_balance();
CREATE FUNCTION wallet_open_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.balance_minor <> 0 OR NEW.held_minor <> 0 THEN
    RAISE EXCEPTION 'account % must open empty', NEW.code
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_account_opens_empty';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER wallet_open_empty BEFORE INSERT ON wallet_account
  FOR EACH ROW EXECUTE FUNCTION wallet_open_empty();
"""


class Migration(migrations.Migration):
    dependencies = [("wallet", "0001_initial")]
    operations = [
        migrations.RunSQL(
            APPLY, "DROP TRIGGER wallet_apply_postings ON wallet_posting; DROP FUNCTION wallet_apply_postings();"
        ),
        migrations.RunSQL(
            GUARD_BALANCE,
            "DROP TRIGGER wallet_guard_balance ON wallet_account; DROP FUNCTION wallet_guard_balance();"
            "DROP TRIGGER wallet_open_empty ON wallet_account; DROP FUNCTION wallet_open_empty();",
        ),
        append_only("wallet_journalentry"),
        append_only("wallet_posting"),
        append_only("wallet_topupevent"),
    ]
