"""Invariant 5: every entry balances, every stored sum equals its parts, no floor is broken, bonus stays apart."""

from operations.audit.checks import Check

ENTRIES_BALANCE = Check(
    name="5.entries_balance",
    says="an entry has at least two postings and they sum to zero in each currency",
    checked="SELECT count(*) FROM wallet_journalentry",
    wrong="""
SELECT entry.key AS what, 'it has ' || count(posting.id) || ' postings' AS why
  FROM wallet_journalentry entry LEFT JOIN wallet_posting posting ON posting.entry_id = entry.id
 GROUP BY entry.id HAVING count(posting.id) < 2
UNION ALL
SELECT entry.key, format('its postings in %%s sum to %%s', bad.currency, bad.total)
  FROM (SELECT posting.entry_id, account.currency, sum(posting.amount_minor) AS total
          FROM wallet_posting posting JOIN wallet_account account ON account.id = posting.account_id
         GROUP BY posting.entry_id, account.currency HAVING sum(posting.amount_minor) <> 0) bad
  JOIN wallet_journalentry entry ON entry.id = bad.entry_id
""",
)

BALANCES_ARE_POSTINGS = Check(
    name="5.balances_are_postings",
    says="a stored balance is the sum of the account's postings; accounts without a floor store none",
    checked="SELECT count(*) FROM wallet_account",
    wrong="""
SELECT account.code AS what,
       CASE WHEN account.floor_minor IS NULL THEN format('it has no floor and stores %%s', account.balance_minor)
            ELSE format('it stores %%s, its postings sum to %%s', account.balance_minor, coalesce(booked.total, 0))
        END AS why
  FROM wallet_account account
  LEFT JOIN (SELECT account_id, sum(amount_minor) AS total FROM wallet_posting GROUP BY account_id) booked
    ON booked.account_id = account.id
 WHERE account.balance_minor <> CASE WHEN account.floor_minor IS NULL THEN 0 ELSE coalesce(booked.total, 0) END
""",
)

HELD_IS_RESERVED = Check(
    name="5.held_is_reserved",
    says="what an account holds back is the sum of its reserved holds",
    checked="SELECT count(*) FROM wallet_hold",
    wrong="""
SELECT account.code AS what,
       format('it holds back %%s, its reserved holds are %%s', account.held_minor, coalesce(hold.total, 0)) AS why
  FROM wallet_account account
  LEFT JOIN (SELECT account_id, sum(amount_minor) AS total FROM wallet_hold WHERE state = 'reserved'
              GROUP BY account_id) hold ON hold.account_id = account.id
 WHERE account.held_minor <> coalesce(hold.total, 0)
""",
)

FOLDS_ARE_POSTINGS = Check(
    name="5.folds_are_postings",
    says="a fold is the sum of its account's postings of all transactions before its own",
    checked="SELECT count(*) FROM wallet_accountfold",
    wrong="""
SELECT account.code AS what,
       format('folded %%s before transaction %%s, where postings sum to %%s', fold.balance_minor, fold.before_txid,
              coalesce(sum(posting.amount_minor), 0)) AS why
  FROM wallet_accountfold fold JOIN wallet_account account ON account.id = fold.account_id
  LEFT JOIN wallet_posting posting ON posting.account_id = fold.account_id AND posting.txid < fold.before_txid
 GROUP BY fold.account_id, account.id
HAVING fold.balance_minor <> coalesce(sum(posting.amount_minor), 0) OR account.floor_minor IS NOT NULL
""",
)

FLOORS_HOLD = Check(
    name="5.floors_hold",
    says="every account that must have a floor has one and is not below it",
    checked="SELECT count(*) FROM wallet_account WHERE kind = ANY(%(bounded_kinds)s)",
    wrong="""
SELECT account.code AS what,
       CASE WHEN (account.floor_minor IS NOT NULL) <> (account.kind = ANY(%(bounded_kinds)s))
            THEN format('an account of kind %%s with floor %%s', account.kind,
                        coalesce(account.floor_minor::text, 'none'))
            ELSE format('its postings sum to %%s, %%s are held, its floor is %%s', coalesce(booked.total, 0),
                        account.held_minor, account.floor_minor) END AS why
  FROM wallet_account account
  LEFT JOIN (SELECT account_id, sum(amount_minor) AS total FROM wallet_posting GROUP BY account_id) booked
    ON booked.account_id = account.id
 WHERE (account.floor_minor IS NOT NULL) <> (account.kind = ANY(%(bounded_kinds)s))
    OR coalesce(booked.total, 0) < account.floor_minor + account.held_minor
""",
)

BONUS_STAYS_APART = Check(
    name="5.bonus_stays_apart",
    says="no entry turns bonus into cash or cash into bonus",
    checked="""
SELECT count(DISTINCT posting.entry_id) FROM wallet_posting posting
  JOIN wallet_account account ON account.id = posting.account_id WHERE account.kind = 'buyer_bonus'
""",
    wrong="""
SELECT entry.key AS what, 'it takes from one and gives to the other: '
       || string_agg(account.code || ' ' || posting.amount_minor, ', ' ORDER BY posting.id) AS why
  FROM wallet_posting posting JOIN wallet_account account ON account.id = posting.account_id
  JOIN wallet_journalentry entry ON entry.id = posting.entry_id
 WHERE account.kind IN ('buyer_cash', 'buyer_bonus')
 GROUP BY entry.id
HAVING (bool_or(account.kind = 'buyer_bonus' AND posting.amount_minor < 0)
        AND bool_or(account.kind = 'buyer_cash' AND posting.amount_minor > 0))
    OR (bool_or(account.kind = 'buyer_cash' AND posting.amount_minor < 0)
        AND bool_or(account.kind = 'buyer_bonus' AND posting.amount_minor > 0))
""",
)

REVERSALS_MIRROR = Check(
    name="5.reversals_mirror",
    says="a reversal has exactly the opposite lines of the entry that it undoes",
    checked="SELECT count(*) FROM wallet_journalentry WHERE reverses_id IS NOT NULL",
    wrong="""
WITH line AS (
  SELECT entry.id, posting.account_id, posting.amount_minor, count(*) AS n
    FROM wallet_journalentry entry JOIN wallet_posting posting ON posting.entry_id = entry.id
   WHERE entry.reverses_id IS NOT NULL GROUP BY 1, 2, 3
), wanted AS (
  SELECT entry.id, posting.account_id, -posting.amount_minor AS amount_minor, count(*) AS n
    FROM wallet_journalentry entry JOIN wallet_posting posting ON posting.entry_id = entry.reverses_id
   GROUP BY 1, 2, 3
), odd AS (
  (SELECT * FROM line EXCEPT SELECT * FROM wanted) UNION (SELECT * FROM wanted EXCEPT SELECT * FROM line)
)
SELECT entry.key AS what, format('it is not the mirror of %%s', original.key) AS why
  FROM (SELECT DISTINCT id FROM odd) bad JOIN wallet_journalentry entry ON entry.id = bad.id
  JOIN wallet_journalentry original ON original.id = entry.reverses_id
""",
)

CHECKS = (
    ENTRIES_BALANCE,
    BALANCES_ARE_POSTINGS,
    HELD_IS_RESERVED,
    FOLDS_ARE_POSTINGS,
    FLOORS_HOLD,
    BONUS_STAYS_APART,
    REVERSALS_MIRROR,
)
