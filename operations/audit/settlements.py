"""Invariants 6 and 7 for settlement with organisers: nothing left the guarantee account that a show did not take."""

from operations.audit.checks import Check

MOVES_ARE_BOOKED = Check(
    name="6.show_settlements_are_booked",
    says="each move of a settlement is booked once, from the guarantee account to organiser and fees",
    checked="SELECT count(*) FROM ticketing_settlementmove",
    wrong="""
WITH fact AS (
  SELECT format('show:%%s:%%s', settlement.number, move.nth) AS key, settlement.number, move.gross_minor,
         move.fee_minor, move.net_minor, 'guarantee::' || settlement.currency AS source,
         format('merchant:%%s:%%s', settlement.merchant, settlement.currency) AS merchant,
         'fee::' || settlement.currency AS fee
    FROM ticketing_settlementmove move JOIN ticketing_showsettlement settlement ON settlement.id = move.settlement_id
)
SELECT fact.key AS what, format('it moves %%s, of it %%s fee; booked: %%s', fact.gross_minor, fact.fee_minor,
       coalesce(string_agg(account.code || ' ' || posting.amount_minor, ', ' ORDER BY posting.id), 'nothing')) AS why
  FROM fact
  LEFT JOIN wallet_journalentry entry ON entry.key = fact.key AND entry.reference = fact.number
  LEFT JOIN wallet_posting posting ON posting.entry_id = entry.id
  LEFT JOIN wallet_account account ON account.id = posting.account_id
 GROUP BY fact.key, fact.gross_minor, fact.fee_minor, fact.net_minor, fact.source, fact.merchant, fact.fee
HAVING coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = fact.source), 0) <> -fact.gross_minor
    OR coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = fact.merchant), 0) <> fact.net_minor
    OR coalesce(sum(posting.amount_minor) FILTER (WHERE account.code = fact.fee), 0) <> fact.fee_minor
UNION ALL
SELECT entry.key, 'it books a settlement that does not exist'
  FROM wallet_journalentry entry LEFT JOIN fact ON fact.key = entry.key
 WHERE entry.kind = 'show_settlement' AND fact.key IS NULL
""",
)

GUARANTEE_IS_EXPLAINED = Check(
    name="6.guarantee_is_explained",
    says="what stays in the guarantee account and what was settled is what orders took, less what was refunded of it",
    checked="SELECT count(*) FROM wallet_account WHERE kind = 'guarantee'",
    wrong="""
WITH fact AS (
  SELECT currency, sum(amount_minor) AS amount
    FROM (SELECT currency, amount_minor FROM payments_payment WHERE outcome = 'won' AND purchase_kind = 'order'
          UNION ALL
          SELECT refund.currency, -refund.amount_minor
            FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
           WHERE payment.outcome = 'won' AND payment.purchase_kind = 'order'
          UNION ALL
          SELECT settlement.currency, -move.gross_minor FROM ticketing_settlementmove move
            JOIN ticketing_showsettlement settlement ON settlement.id = move.settlement_id) one
   GROUP BY currency
), booked AS (
  -- What two people booked by hand is theirs to explain.
  SELECT account.currency, sum(posting.amount_minor) AS balance
    FROM wallet_account account JOIN wallet_posting posting ON posting.account_id = account.id
    JOIN wallet_journalentry entry ON entry.id = posting.entry_id
   WHERE account.kind = 'guarantee' AND entry.kind IN ('payment', 'refund_requested', 'show_settlement')
     AND NOT EXISTS (SELECT 1 FROM payments_payment other
                      WHERE other.purchase_number = entry.reference AND other.purchase_kind <> 'order')
   GROUP BY account.currency
)
SELECT 'guarantee::' || coalesce(fact.currency, booked.currency) AS what,
       format('taken less refunded less settled is %%s, the ledger has %%s', coalesce(fact.amount, 0),
              coalesce(booked.balance, 0)) AS why
  FROM fact FULL JOIN booked ON booked.currency = fact.currency
 WHERE coalesce(fact.amount, 0) <> coalesce(booked.balance, 0)
""",
)

SETTLEMENTS_ADD_UP = Check(
    name="6.settlements_add_up",
    says="a settlement stands as its moves and its show's money say, and its fee is the agreed share",
    checked="SELECT count(*) FROM ticketing_showsettlement",
    wrong="""
WITH moved AS (
  SELECT settlement_id, sum(gross_minor) AS gross, sum(fee_minor) AS fee FROM ticketing_settlementmove GROUP BY 1
), one AS (
  SELECT settlement.*, coalesce(moved.gross, 0) AS gross, coalesce(moved.fee, 0) AS fee,
         settlement.paid_minor - settlement.refunded_minor AS total
    FROM ticketing_showsettlement settlement LEFT JOIN moved ON moved.settlement_id = settlement.id
)
SELECT number AS what, format('it is %%s: taken less gone back is %%s, moved were %%s, of it %%s fee', standing, total,
                              gross, fee) AS why
  FROM one
 WHERE standing <> CASE WHEN gross < total THEN 'due' WHEN gross > total THEN 'owing' ELSE 'settled' END
    OR gross < 0 OR fee <> div(gross * fee_bps + 5000, 10000)
""",
)

SHOWS_ARE_SETTLED = Check(
    name="7.shows_are_settled",
    says="the money of a show that is long over is settled, or is looked at and waits for what is named",
    checked="SELECT count(*) FROM ticketing_showsettlement",
    wrong="""
WITH won AS (
  SELECT o.show_id, payment.id, payment.currency, payment.amount_minor
    FROM ticketing_order o JOIN payments_payment payment ON payment.number = o.winner
   WHERE o.winner <> '' AND payment.outcome = 'won' AND payment.paid_at < %(an_hour_ago)s::timestamptz
), paid AS (
  SELECT show_id, currency, sum(amount_minor) AS minor FROM won GROUP BY 1, 2
), back AS (
  SELECT won.show_id, won.currency, sum(refund.amount_minor) AS minor
    FROM won JOIN payments_refund refund ON refund.payment_id = won.id
   WHERE refund.created_at < %(an_hour_ago)s::timestamptz GROUP BY 1, 2
)
SELECT show.code AS what,
       CASE WHEN settlement.id IS NULL THEN format('it was over at %%s and nobody settles it',
                                                    coalesce(show.ends_at, show.starts_at))
            WHEN settlement.paid_minor < paid.minor OR settlement.refunded_minor < back.minor
            THEN format('%%s taken and %%s gone back; its settlement knows of %%s and %%s', paid.minor,
                        coalesce(back.minor, 0), settlement.paid_minor, settlement.refunded_minor)
            WHEN settlement.looked_at < %(an_hour_ago)s::timestamptz
            THEN format('its settlement %%s is due, and nobody has looked at it since %%s', settlement.number,
                        settlement.looked_at)
            ELSE format('its settlement %%s waits for a cancellation that is done', settlement.number) END AS why
  FROM ticketing_show show JOIN paid ON paid.show_id = show.id
  LEFT JOIN back ON back.show_id = show.id AND back.currency = paid.currency
  LEFT JOIN ticketing_showsettlement settlement
    ON settlement.show_id = show.id AND settlement.currency = paid.currency
 WHERE coalesce(show.ends_at, show.starts_at) < %(settle_before)s::timestamptz
   AND (settlement.id IS NULL OR settlement.paid_minor < paid.minor OR settlement.refunded_minor < back.minor
        OR settlement.standing = 'due' AND (
             settlement.looked_at < %(an_hour_ago)s::timestamptz
             OR settlement.waits_for = '["cancelled"]' AND EXISTS (
                  SELECT 1 FROM ticketing_showcancellation cancelled
                   WHERE cancelled.show_id = show.id AND cancelled.done_at < %(an_hour_ago)s::timestamptz)))
""",
)

CHECKS = (MOVES_ARE_BOOKED, GUARANTEE_IS_EXPLAINED, SETTLEMENTS_ADD_UP, SHOWS_ARE_SETTLED)
