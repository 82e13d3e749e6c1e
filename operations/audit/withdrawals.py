"""Invariants 6 and 7 for money out: it left once, or is set aside, or is back; and nobody forgets it."""

from operations.audit.checks import Check

WITHDRAWALS_ARE_BOOKED = Check(
    name="6.withdrawals_are_booked",
    says="what was paid out left its owner's account once, what came back came once, and nothing else did",
    checked="SELECT count(*) FROM payments_withdrawal",
    wrong="""
WITH fact AS (
  SELECT 'withdraw:' || number AS key, number, state, account, -amount_minor AS own, amount_minor AS bank, currency,
         state IN ('paid', 'returned') AS due FROM payments_withdrawal
  UNION ALL
  SELECT 'withdraw-returned:' || number, number, state, account, amount_minor, -amount_minor, currency,
         state = 'returned' FROM payments_withdrawal
)
SELECT fact.number AS what, format('it is %%s over %%s; %%s has %%s', fact.state, fact.bank, fact.key,
       coalesce(string_agg(account.code || ' ' || posting.amount_minor, ', ' ORDER BY posting.id), 'nothing')) AS why
  FROM fact
  LEFT JOIN wallet_journalentry entry ON entry.key = fact.key
  LEFT JOIN wallet_posting posting ON posting.entry_id = entry.id
  LEFT JOIN wallet_account account ON account.id = posting.account_id
 GROUP BY fact.key, fact.number, fact.state, fact.account, fact.own, fact.bank, fact.currency, fact.due, entry.id
HAVING (entry.id IS NOT NULL) <> fact.due
    OR fact.due AND (
       coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = fact.account), 0) <> fact.own
    OR coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = 'bank::' || fact.currency), 0) <> fact.bank)
UNION ALL
SELECT entry.key, 'it books a withdrawal that does not exist'
  FROM wallet_journalentry entry LEFT JOIN payments_withdrawal withdrawal ON withdrawal.number = entry.reference
 WHERE entry.kind IN ('withdrawal', 'withdrawal_returned') AND withdrawal.id IS NULL
""",
)

WITHDRAWALS_HOLD_THEIR_MONEY = Check(
    name="6.withdrawals_hold_their_money",
    says="an open withdrawal's money is set aside; a paid one's was taken from there, a refused one's is free again",
    checked="SELECT count(*) FROM payments_withdrawal",
    wrong="""
SELECT withdrawal.number AS what,
       format('it is %%s over %%s of %%s; set aside: %%s', withdrawal.state, withdrawal.amount_minor,
              withdrawal.account, coalesce(hold.state || ' ' || hold.amount_minor, 'nothing')) AS why
  FROM payments_withdrawal withdrawal
  LEFT JOIN wallet_hold hold ON hold.key = 'withdraw:' || withdrawal.number
  LEFT JOIN wallet_account account ON account.id = hold.account_id
 WHERE hold.id IS NULL OR hold.amount_minor <> withdrawal.amount_minor OR account.code <> withdrawal.account
    OR hold.state <> CASE WHEN withdrawal.state = 'refused' THEN 'released'
                          WHEN withdrawal.state IN ('waiting', 'ready', 'sent') THEN 'reserved'
                          WHEN EXISTS (SELECT 1 FROM payments_withdrawalevent event  -- paid out after all
                                        WHERE event.withdrawal_id = withdrawal.id AND event.to_state = 'refused')
                          THEN 'released' ELSE 'captured' END
""",
)

WITHDRAWALS_ARE_DRIVEN = Check(
    name="7.withdrawals_are_driven",
    says="a withdrawal that is to be sent, or on its way, has a message that drives it",
    checked="SELECT count(*) FROM payments_withdrawal WHERE state IN ('ready', 'sent')",
    wrong="""
SELECT withdrawal.number AS what, format('it is %%s and nothing drives it', withdrawal.state) AS why
  FROM payments_withdrawal withdrawal
  LEFT JOIN payments_outboxmessage message
    ON message.key = 'withdraw:' || withdrawal.number AND message.done_at IS NULL
 WHERE withdrawal.state IN ('ready', 'sent') AND message.id IS NULL
""",
)

CHECKS = (WITHDRAWALS_ARE_BOOKED, WITHDRAWALS_HOLD_THEIR_MONEY, WITHDRAWALS_ARE_DRIVEN)
