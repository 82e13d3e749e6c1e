"""How the ledger, the books and the schedules (invariants 5 to 7) are broken on purpose."""

from __future__ import annotations

from tests.operations.broken import ACCOUNT, BUYER_CASH, ENTRY_ID, Break

LEDGER = (
    Break(
        "5.entries_balance",
        "a fen appears",
        "UPDATE wallet_posting SET amount_minor = amount_minor + 1 WHERE account_id = "
        + ACCOUNT.format("promotion::CNY"),
    ),
    Break(
        "5.entries_balance",
        "an entry of nothing",
        "INSERT INTO wallet_journalentry (key, kind, reference, memo, at) VALUES ('empty', 'x', '', '', now())",
    ),
    Break(
        "5.balances_are_postings",
        "a balance is edited",
        f"UPDATE wallet_account SET balance_minor = balance_minor + 1 WHERE id = {BUYER_CASH}",
    ),
    Break(
        "5.balances_are_postings",
        "a hot account stores something",
        "UPDATE wallet_account SET balance_minor = 5 WHERE code = 'guarantee::CNY'",
        without=(("wallet_account", "wallet_account_unbounded_stores_none"),),
    ),
    Break(
        "5.held_is_reserved",
        "more is held than reserved",
        f"UPDATE wallet_account SET held_minor = held_minor + 1 WHERE id = {BUYER_CASH}",
    ),
    Break(
        "5.folds_are_postings",
        "a fold is off",
        "UPDATE wallet_accountfold SET balance_minor = balance_minor + 1",
    ),
    Break(
        "5.floors_hold",
        "an account has no floor any more",
        "UPDATE wallet_account SET floor_minor = NULL WHERE id ="
        " (SELECT max(id) FROM wallet_account WHERE kind = 'buyer_bonus' AND balance_minor = 0)",
    ),
    Break(
        "5.floors_hold",
        "money is gone that was never there",
        "WITH entry AS (INSERT INTO wallet_journalentry (key, kind, reference, memo, at)"
        " VALUES ('overdrawn', 'x', '', '', now()) RETURNING id), poor AS (UPDATE wallet_account"
        " SET balance_minor = -5 WHERE id = (SELECT max(id) FROM wallet_account WHERE kind = 'buyer_bonus'"
        " AND balance_minor = 0) RETURNING id) INSERT INTO wallet_posting (entry_id, account_id, amount_minor)"
        " SELECT entry.id, poor.id, -5 FROM entry, poor UNION ALL"
        " SELECT entry.id, " + ACCOUNT.format("promotion::CNY") + ", 5 FROM entry",
        without=(("wallet_account", "wallet_account_above_floor"),),
    ),
    Break(
        "5.bonus_stays_apart",
        "cash becomes bonus",
        "WITH entry AS (INSERT INTO wallet_journalentry (key, kind, reference, memo, at)"
        " VALUES ('alchemy', 'x', '', '', now()) RETURNING id), "
        f"poor AS (UPDATE wallet_account SET balance_minor = balance_minor - 5 WHERE id = {BUYER_CASH} RETURNING id),"
        " rich AS (UPDATE wallet_account SET balance_minor = balance_minor + 5 WHERE id ="
        " (SELECT max(id) FROM wallet_account WHERE kind = 'buyer_bonus') RETURNING id)"
        " INSERT INTO wallet_posting (entry_id, account_id, amount_minor)"
        " SELECT entry.id, poor.id, -5 FROM entry, poor UNION ALL SELECT entry.id, rich.id, 5 FROM entry, rich",
    ),
    Break(
        "5.reversals_mirror",
        "a reversal undoes another entry",
        "UPDATE wallet_journalentry SET reverses_id = (SELECT id FROM wallet_journalentry WHERE key = 'gift')"
        " WHERE key = 'mistake-undone'",
    ),
)

WITHDRAWALS = (
    Break(
        "2.withdrawal_history",
        "a withdrawal is paid out without a word",
        "UPDATE payments_withdrawal SET state = 'refused', ended_at = now() WHERE state = 'waiting'",
        also=("6.withdrawals_hold_their_money", "7.holds_belong_to_something"),
    ),
    Break(
        "6.withdrawals_are_booked",
        "what was paid out is booked nowhere",
        "UPDATE wallet_journalentry SET key = 'lost' WHERE key ="
        " (SELECT 'withdraw:' || number FROM payments_withdrawal WHERE state = 'paid')",
    ),
    Break(
        "6.withdrawals_are_booked",
        "an entry books a withdrawal that nobody asked for",
        "UPDATE wallet_journalentry SET kind = 'withdrawal' WHERE key = 'gift'",
    ),
    Break(
        "6.withdrawals_hold_their_money",
        "the money of a withdrawal on its way is another amount",
        "UPDATE payments_withdrawal SET amount_minor = amount_minor + 1 WHERE state = 'sent'",
    ),
    Break(
        "7.withdrawals_are_driven",
        "nobody asks about a withdrawal on its way",
        "UPDATE payments_outboxmessage SET done_at = now() WHERE key ="
        " (SELECT 'withdraw:' || number FROM payments_withdrawal WHERE state = 'sent')",
    ),
)

SETTLEMENTS = (
    Break(
        "6.show_settlements_are_booked",
        "a settlement is booked nowhere",
        "UPDATE wallet_journalentry SET key = 'lost', kind = 'lost' WHERE key LIKE 'show:%%:1'",
        also=("6.guarantee_is_explained",),
    ),
    Break(
        "6.show_settlements_are_booked",
        "an entry books a settlement that nobody made",
        "UPDATE wallet_journalentry SET kind = 'show_settlement' WHERE key = 'gift'",
    ),
    Break(
        "6.guarantee_is_explained",
        "money leaves the guarantee account as a payment that nobody made",
        "WITH entry AS (INSERT INTO wallet_journalentry (key, kind, reference, memo, at)"
        " VALUES ('gone', 'payment', '', '', now()) RETURNING id) "
        "INSERT INTO wallet_posting (entry_id, account_id, amount_minor) SELECT entry.id, account.id,"
        " CASE account.kind WHEN 'guarantee' THEN -5 ELSE 5 END FROM entry, wallet_account account"
        " WHERE account.code IN ('guarantee::CNY', 'fee::CNY')",
        also=("5.folds_are_postings",),
    ),
    Break(
        "6.settlements_add_up",
        "a settlement says that it is done and is not",
        "UPDATE ticketing_showsettlement SET paid_minor = paid_minor + 1",
    ),
    Break(
        "7.shows_are_settled",
        "a show is over and its settlement is lost",
        "UPDATE ticketing_show SET starts_at = %(long_ago)s::timestamptz - interval '30 days' WHERE code = 'scene'",
    ),
    Break(
        "7.shows_are_settled",
        "a refund was never taken back from the organiser",
        "UPDATE payments_refund SET created_at = created_at - interval '2 days' WHERE number = %(r_after_settled)s;"
        "UPDATE payments_payment SET paid_at = paid_at - interval '2 days' WHERE number = %(p_settled)s;"
        "UPDATE ticketing_showsettlement SET refunded_minor = 0, paid_minor = paid_minor - 38000",
    ),
)

BOOKS = (
    Break(
        "6.payments_are_booked",
        "a success is booked nowhere",
        "UPDATE wallet_journalentry SET key = 'lost' WHERE key = 'pay:' || %(p_paid_wechat)s",
        names="p_paid_wechat",
    ),
    Break(
        "6.payments_are_booked",
        "an entry books a payment that took nothing",
        "UPDATE wallet_journalentry SET key = 'pay:' || %(p_closed)s WHERE key = 'gift'",
    ),
    Break(
        "6.payments_are_booked",
        "a wallet payment is taken from another buyer",
        "WITH other AS (SELECT max(id) AS id FROM wallet_account WHERE kind = 'buyer_cash'), taken AS ("
        "  SELECT posting.* FROM wallet_posting posting WHERE entry_id = "
        + ENTRY_ID.format("pay:", "p_paid_wallet")
        + " AND amount_minor < 0), moved AS (UPDATE wallet_account account SET balance_minor = balance_minor +"
        " CASE WHEN account.id = other.id THEN taken.amount_minor ELSE -taken.amount_minor END FROM other, taken"
        " WHERE account.id IN (other.id, taken.account_id))"
        " UPDATE wallet_posting SET account_id = other.id FROM other, taken WHERE wallet_posting.id = taken.id",
        names="p_paid_wallet",
    ),
    Break(
        "6.payments_are_booked",
        "an entry refers to another order",
        "UPDATE wallet_journalentry SET reference = 'KELSE' WHERE key = 'pay:' || %(p_paid_wechat)s",
        names="p_paid_wechat",
    ),
    Break(
        "6.refunds_are_booked",
        "a done refund is booked nowhere",
        "UPDATE wallet_journalentry SET key = 'lost' WHERE key = 'refund:' || %(r_refunded)s",
        names="r_refunded",
    ),
    Break(
        "6.refunds_are_booked",
        "a refund on its way is booked as done",
        "UPDATE wallet_journalentry SET key = 'refund:' || %(r_refused)s WHERE key = 'gift'",
        names="r_refused",
    ),
    Break(
        "6.refunds_are_booked",
        "an entry books a refund that does not exist",
        "UPDATE wallet_journalentry SET key = 'refund:RNONE' WHERE key = 'gift'",
    ),
    Break(
        "6.clearing_is_owed",
        "a channel owes for no payment",
        "WITH entry AS (INSERT INTO wallet_journalentry (key, kind, reference, memo, at)"
        " VALUES ('from nowhere', 'x', '', '', now()) RETURNING id) "
        "INSERT INTO wallet_posting (entry_id, account_id, amount_minor) SELECT entry.id, account.id,"
        " CASE account.kind WHEN 'clearing' THEN -5 ELSE 5 END FROM entry, wallet_account account"
        " WHERE account.code IN ('clearing:wechat:CNY', 'fee::CNY')",
    ),
    Break(
        "6.settlements_are_booked",
        "a transfer to our bank is booked nowhere",
        "UPDATE wallet_journalentry SET key = 'lost' WHERE key ="
        " (SELECT key FROM payments_settlement WHERE kind = 'transfer')",
    ),
    Break(
        "6.settlements_are_booked",
        "an entry books a settlement that no statement tells",
        "UPDATE wallet_journalentry SET key = 'settle:nobody' WHERE key = 'gift'",
    ),
    Break(
        "6.clearing_is_owed",
        "a settlement is told twice",
        "INSERT INTO payments_settlement (key, channel, day, kind, statement_id, amount_minor, currency, booked_at)"
        " SELECT 'again', channel, day, kind, statement_id, amount_minor, currency, booked_at"
        " FROM payments_settlement WHERE kind = 'fee'",
        also=("6.settlements_are_booked", "6.settlements_are_stated"),
    ),
    Break(
        "6.settlements_are_stated",
        "a fee is settled that the day's statement does not tell",
        "UPDATE payments_statementline SET fee_milli = fee_milli + 5000 WHERE kind = 'fee'",
    ),
    Break(
        "6.suspense_is_on_its_way",
        "suspense holds money of no refund",
        "WITH entry AS (INSERT INTO wallet_journalentry (key, kind, reference, memo, at)"
        " VALUES ('from nowhere', 'x', '', '', now()) RETURNING id) "
        "INSERT INTO wallet_posting (entry_id, account_id, amount_minor) SELECT entry.id, account.id,"
        " CASE account.kind WHEN 'suspense' THEN 5 ELSE -5 END FROM entry, wallet_account account"
        " WHERE account.code IN ('suspense::CNY', 'fee::CNY')",
    ),
)

SCHEDULES = (
    Break(
        "7.live_payments_are_chased",
        "nobody asks about a payment",
        "UPDATE payments_outboxmessage SET done_at = now() WHERE key = 'chase:' || %(p_live)s",
        names="p_live",
    ),
    Break(
        "7.refunds_are_driven",
        "nobody drives a refused refund",
        "DELETE FROM payments_outboxmessage WHERE key = 'refund:' || %(r_refused)s",
        names="r_refused",
    ),
    Break(
        "7.notifications_are_applied",
        "nobody applies what a channel told",
        "UPDATE payments_outboxmessage SET done_at = now() WHERE kind = 'notify.apply'",
    ),
    Break(
        "7.open_orders_end",
        "a hold that nobody ends",
        "UPDATE ticketing_order SET hold_until = %(long_ago)s WHERE number = %(o_held)s",
        names="o_held",
    ),
    Break(
        "7.paying_orders_have_a_payment",
        "the payment of an order went away",
        "UPDATE payments_payment SET purchase_number = %(o_held)s WHERE purchase_number = %(o_paying)s",
        names="o_paying",
        also=("4.payments_fit_their_purchases",),
    ),
    Break(
        "7.open_topups_end",
        "a top-up that nobody closes",
        "UPDATE wallet_topup SET payable_until = %(long_ago)s WHERE number = %(t_open)s",
        names="t_open",
    ),
    Break(
        "7.messages_move",
        "a message that nobody takes",
        "UPDATE payments_outboxmessage SET due_at = %(long_ago)s WHERE key = 'chase:' || %(p_live)s",
        names="p_live",
    ),
    Break(
        "7.messages_move",
        "a message whose drainer died",
        "UPDATE payments_outboxmessage SET due_at = %(long_ago)s, leased_until = %(long_ago)s"
        " WHERE key = 'chase:' || %(p_live)s",
        names="p_live",
    ),
    Break(
        "7.holds_belong_to_something",
        "money is set aside for an order that ended",
        "UPDATE wallet_hold SET reference = %(o_expired)s WHERE key = 'hold'",
    ),
)
