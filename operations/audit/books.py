"""
Invariant 6: what the ledger says a channel owes is what that channel's successes less refunds and settlements say.
"""

from operations.audit.checks import Check
from payments.reconcile.settle import PAID_OUT

# Where the money of each payment comes from and goes to. A purchase kind that is not known here may credit any one
# account (`target` is null).
EXPECTED = """
(SELECT payment.*,
        CASE WHEN channel = 'wallet'
             THEN ARRAY['buyer_bonus:' || buyer_id || ':' || currency, 'buyer_cash:' || buyer_id || ':' || currency]
             ELSE ARRAY['clearing:' || channel || ':' || currency] END AS sources,
        CASE WHEN outcome = 'surplus' THEN 'suspense::' || currency
             WHEN purchase_kind = 'order' THEN 'guarantee::' || currency
             WHEN purchase_kind = 'topup' THEN 'buyer_cash:' || buyer_id || ':' || currency END AS target
   FROM payments_payment payment WHERE state = 'succeeded')
"""

PAYMENTS_ARE_BOOKED = Check(
    name="6.payments_are_booked",
    says="every success is booked once, from its channel or wallet to where its purchase or suspense is",
    checked="SELECT count(*) FROM payments_payment WHERE state = 'succeeded'",
    wrong=f"""
SELECT payment.number AS what,
       CASE WHEN entry.id IS NULL THEN format('it took %%s and nothing is booked', payment.amount_minor)
            WHEN entry.reference <> payment.purchase_number
            THEN format('its entry refers to %%s, not to %%s', entry.reference, payment.purchase_number)
            ELSE format('it took %%s; booked: %%s', payment.amount_minor,
                        string_agg(account.code || ' ' || posting.amount_minor, ', ' ORDER BY posting.id)) END AS why
  FROM {EXPECTED} payment
  LEFT JOIN wallet_journalentry entry ON entry.key = 'pay:' || payment.number
  LEFT JOIN wallet_posting posting ON posting.entry_id = entry.id
  LEFT JOIN wallet_account account ON account.id = posting.account_id
 GROUP BY payment.number, payment.amount_minor, payment.purchase_number, payment.sources, payment.target,
          entry.id, entry.reference
HAVING entry.id IS NULL OR entry.reference <> payment.purchase_number
    OR coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = ANY(payment.sources)), 0)
       <> -payment.amount_minor
    OR coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = coalesce(payment.target, account.code)
                                                    AND posting.amount_minor > 0), 0) <> payment.amount_minor
    OR bool_or(account.code <> ALL(payment.sources) AND account.code <> coalesce(payment.target, account.code))
UNION ALL
SELECT entry.key, 'it books a payment that ' || coalesce('is ' || payment.state, 'does not exist')
  FROM wallet_journalentry entry LEFT JOIN payments_payment payment ON payment.number = substr(entry.key, 5)
 WHERE entry.key LIKE 'pay:%%' AND coalesce(payment.state, '') <> 'succeeded'
""",  # noqa: S608
)

REFUNDS_ARE_BOOKED = Check(
    name="6.refunds_are_booked",
    says="a won payment's refund leaves its account for suspense when requested; every done one leaves suspense",
    checked="SELECT count(*) FROM payments_refund",
    wrong=f"""
WITH fact AS (
  SELECT refund.number, refund.amount_minor, refund.state, payment.sources, payment.target,
         'refund-requested:' || refund.number AS key, payment.outcome = 'won' AS due,
         payment.target AS debit, ARRAY['suspense::' || refund.currency] AS credits
    FROM payments_refund refund JOIN {EXPECTED} payment ON payment.id = refund.payment_id
  UNION ALL
  SELECT refund.number, refund.amount_minor, refund.state, payment.sources, payment.target,
         'refund:' || refund.number, refund.state = 'succeeded', 'suspense::' || refund.currency,
         CASE WHEN refund.destination = 'wallet'
              THEN ARRAY['buyer_cash:' || payment.buyer_id || ':' || refund.currency] ELSE payment.sources END
    FROM payments_refund refund JOIN {EXPECTED} payment ON payment.id = refund.payment_id
)
SELECT fact.number AS what,
       CASE WHEN entry.id IS NULL THEN format('it is %%s and %%s is not booked', fact.state, fact.key)
            WHEN NOT fact.due THEN format('it is %%s and %%s is booked', fact.state, fact.key)
            ELSE format('it is over %%s; %%s has %%s', fact.amount_minor, fact.key,
                        string_agg(account.code || ' ' || posting.amount_minor, ', ' ORDER BY posting.id)) END AS why
  FROM fact
  LEFT JOIN wallet_journalentry entry ON entry.key = fact.key
  LEFT JOIN wallet_posting posting ON posting.entry_id = entry.id
  LEFT JOIN wallet_account account ON account.id = posting.account_id
 GROUP BY fact.number, fact.amount_minor, fact.state, fact.key, fact.due, fact.debit, fact.credits, entry.id
HAVING (entry.id IS NOT NULL) <> fact.due
    OR fact.due AND (
       coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = coalesce(fact.debit, account.code)
                                                    AND posting.amount_minor < 0), 0) <> -fact.amount_minor
    OR coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = ANY(fact.credits)), 0) <> fact.amount_minor
    OR bool_or(account.code <> ALL(fact.credits) AND account.code <> coalesce(fact.debit, account.code)))
UNION ALL
SELECT entry.key, 'it books a refund that does not exist'
  FROM wallet_journalentry entry
  LEFT JOIN payments_refund refund ON refund.number = split_part(entry.key, ':', 2)
 WHERE (entry.key LIKE 'refund:%%' OR entry.key LIKE 'refund-requested:%%') AND refund.id IS NULL
""",  # noqa: S608
)

CLEARING_IS_OWED = Check(
    name="6.clearing_is_owed",
    says="a channel's clearing account stands at minus its successes, plus what it refunded and settled",
    checked="SELECT count(*) FROM wallet_account WHERE kind = 'clearing'",
    wrong="""
WITH fact AS (
  SELECT channel, currency, sum(amount_minor) AS owed
    FROM (SELECT channel, currency, -amount_minor AS amount_minor FROM payments_settlement
          UNION ALL
          SELECT channel, currency, amount_minor FROM payments_payment
           WHERE state = 'succeeded' AND channel <> 'wallet'
          UNION ALL
          SELECT payment.channel, payment.currency, -refund.amount_minor
            FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
           WHERE refund.state = 'succeeded' AND payment.channel <> 'wallet' AND refund.destination = 'origin') move
   GROUP BY channel, currency
), booked AS (
  SELECT account.owner AS channel, account.currency, coalesce(sum(posting.amount_minor), 0) AS balance
    FROM wallet_account account LEFT JOIN wallet_posting posting ON posting.account_id = account.id
   WHERE account.kind = 'clearing' GROUP BY account.id
)
SELECT format('clearing:%%s:%%s', coalesce(fact.channel, booked.channel),
              coalesce(fact.currency, booked.currency)) AS what,
       format('successes less refunds and settlements are %%s, the ledger says %%s is owed', coalesce(fact.owed, 0),
              -coalesce(booked.balance, 0)) AS why
  FROM fact FULL JOIN booked ON booked.channel = fact.channel AND booked.currency = fact.currency
 WHERE coalesce(fact.owed, 0) <> -coalesce(booked.balance, 0)
""",
)

SETTLEMENTS_ARE_BOOKED = Check(
    name="6.settlements_are_booked",
    says="what a channel kept or sent to our bank is booked once, from its clearing account to fees or bank",
    checked="SELECT count(*) FROM payments_settlement",
    wrong="""
WITH fact AS (
  SELECT key, amount_minor, format('clearing:%%s:%%s', channel, currency) AS clearing,
         CASE kind WHEN 'fee' THEN format('channel_fee:%%s:%%s', channel, currency)
                   ELSE 'bank::' || currency END AS other
    FROM payments_settlement
)
SELECT fact.key AS what, format('it is over %%s; booked: %%s', fact.amount_minor,
       coalesce(string_agg(account.code || ' ' || posting.amount_minor, ', ' ORDER BY posting.id), 'nothing')) AS why
  FROM fact
  LEFT JOIN wallet_journalentry entry ON entry.key = fact.key
  LEFT JOIN wallet_posting posting ON posting.entry_id = entry.id
  LEFT JOIN wallet_account account ON account.id = posting.account_id
 GROUP BY fact.key, fact.amount_minor, fact.clearing, fact.other
HAVING coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = fact.clearing), 0) <> fact.amount_minor
    OR coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = fact.other), 0) <> -fact.amount_minor
UNION ALL
SELECT entry.key, 'it books a settlement that does not exist'
  FROM wallet_journalentry entry LEFT JOIN payments_settlement settlement ON settlement.key = entry.key
 WHERE entry.key LIKE 'settle:%%' AND settlement.id IS NULL
""",
)

# What a run booked last is the day's word: a newer statement is due, and books the difference with the next run.
SETTLEMENTS_ARE_STATED = Check(
    name="6.settlements_are_stated",
    says="what was settled for a day is what the day's statement of movements, as it was booked last, says",
    checked="SELECT count(DISTINCT (channel, day)) FROM payments_reconcilerun WHERE funds_id IS NOT NULL",
    wrong=f"""
WITH last AS (
  SELECT channel, day, max(funds_id) AS statement_id FROM payments_reconcilerun
   WHERE funds_id IS NOT NULL AND state = 'done' GROUP BY channel, day
), stated AS (
  SELECT line.channel, line.day, line.currency, round(sum(line.fee_milli) / 1000)::bigint AS fee,
         coalesce(-sum(line.amount_minor) FILTER (WHERE line.kind = 'transfer' OR {PAID_OUT}), 0)::bigint AS transfer
    FROM last JOIN payments_statementline line
      ON line.statement_id = last.statement_id AND line.channel = last.channel AND line.day = last.day
   GROUP BY line.channel, line.day, line.currency
), each AS (
  SELECT channel, day, currency, 'fee' AS kind, fee AS minor FROM stated WHERE fee <> 0
   UNION ALL SELECT channel, day, currency, 'transfer', transfer FROM stated WHERE transfer <> 0
), settled AS (
  SELECT channel, day, currency, kind, sum(amount_minor)::bigint AS minor FROM payments_settlement
   GROUP BY channel, day, currency, kind HAVING sum(amount_minor) <> 0
)
SELECT concat_ws(' ', coalesce(each.channel, settled.channel), coalesce(each.day, settled.day),
                 coalesce(each.kind, settled.kind), coalesce(each.currency, settled.currency)) AS what,
       format('the statement says %%s, %%s is settled', coalesce(each.minor, 0), coalesce(settled.minor, 0)) AS why
  FROM each FULL JOIN settled ON settled.channel = each.channel AND settled.day = each.day
   AND settled.currency = each.currency AND settled.kind = each.kind
 WHERE coalesce(each.minor, 0) <> coalesce(settled.minor, 0)
""",  # noqa: S608
)

SUSPENSE_IS_ON_ITS_WAY = Check(
    name="6.suspense_is_on_its_way",
    says="suspense holds exactly the refunds that are not done yet",
    checked="SELECT count(*) FROM wallet_account WHERE kind = 'suspense'",
    wrong="""
WITH fact AS (
  SELECT currency, sum(amount_minor) AS due FROM payments_refund WHERE state <> 'succeeded' GROUP BY currency
), booked AS (
  SELECT account.currency, coalesce(sum(posting.amount_minor), 0) AS balance
    FROM wallet_account account LEFT JOIN wallet_posting posting ON posting.account_id = account.id
   WHERE account.kind = 'suspense' GROUP BY account.currency
)
SELECT 'suspense::' || coalesce(fact.currency, booked.currency) AS what,
       format('refunds of %%s are not done, suspense holds %%s', coalesce(fact.due, 0),
              coalesce(booked.balance, 0)) AS why
  FROM fact FULL JOIN booked ON booked.currency = fact.currency
 WHERE coalesce(fact.due, 0) <> coalesce(booked.balance, 0)
""",
)

CHECKS = (
    PAYMENTS_ARE_BOOKED,
    REFUNDS_ARE_BOOKED,
    CLEARING_IS_OWED,
    SETTLEMENTS_ARE_BOOKED,
    SETTLEMENTS_ARE_STATED,
    SUSPENSE_IS_ON_ITS_WAY,
)
