"""
How each check's invariant is broken on purpose, in SQL, with the database's own guards out of the way.

`also` names the other checks that the same harm is bound to trip; everything not named must stay clean.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    check: str
    how: str
    sql: str
    names: str = ""  # a name of the scene whose number the violation must tell
    also: tuple[str, ...] = ()
    without: tuple[tuple[str, str], ...] = ()  # (table, constraint); an index starts with `!`
    violations: int = 1


def an_event(what: str, of: str, source: str, to: str) -> str:
    table, subject = {"order": ("ticketing", "order"), "topup": ("wallet", "topup")}.get(
        what, ("payments", what)
    )
    return (
        f"INSERT INTO {table}_{subject}event ({subject}_id, from_state, to_state, at, reason, actor, facts)"
        f" SELECT id, '{source}', '{to}', now(), 'x', '', '{{}}' FROM {table}_{subject} WHERE number = %({of})s"
    )


SEAT_OF = (
    "(SELECT min(seat.id) FROM ticketing_seat seat JOIN ticketing_order o ON o.id = seat.order_id"
    " WHERE o.number = %({})s)"
)
ORDER_ID = "(SELECT id FROM ticketing_order WHERE number = %({})s)"
PAYMENT_ID = "(SELECT id FROM payments_payment WHERE number = %({})s)"
ENTRY_ID = "(SELECT id FROM wallet_journalentry WHERE key = '{}' || %({})s)"
ACCOUNT = "(SELECT id FROM wallet_account WHERE code = '{}')"
BUYER_CASH = "(SELECT min(id) FROM wallet_account WHERE kind = 'buyer_cash' AND balance_minor > 100000)"
OUTCOME = ("payments_payment", "payments_payment_outcome_of_success")

SEATS = (
    Break(
        "1.seats_match_their_orders",
        "a paid order's seat is only held",
        f"UPDATE ticketing_seat SET state = 'H' WHERE id = {SEAT_OF.format('o_paid_alipay')}",
    ),
    Break(
        "1.seats_match_their_orders",
        "a free seat names a live order",
        f"UPDATE ticketing_seat SET state = 'F' WHERE id = {SEAT_OF.format('o_held')}",
        without=(("ticketing_seat", "ticketing_seat_taken_has_order"),),
    ),
    Break(
        "1.seats_match_their_orders",
        "a sold seat is nobody's",
        "UPDATE ticketing_seat SET state = 'S' WHERE id = (SELECT max(id) FROM ticketing_seat WHERE state = 'F')",
        without=(("ticketing_seat", "ticketing_seat_taken_has_order"),),
    ),
    Break(
        "1.closed_orders_have_no_seats",
        "an expired order has a seat again",
        "WITH given AS (UPDATE ticketing_seat SET state = 'H', order_id = "
        + ORDER_ID.format("o_expired")
        + " WHERE id = (SELECT max(id) FROM ticketing_seat WHERE state = 'F') RETURNING id, order_id)"
        " INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor) SELECT order_id, id, 38000 FROM given",
        names="o_expired",
    ),
    Break(
        "1.live_orders_have_their_seats",
        "a seat of a held order is free",
        f"UPDATE ticketing_seat SET state = 'F', order_id = NULL WHERE id = {SEAT_OF.format('o_held')}",
        names="o_held",
    ),
    Break(
        "1.seats_are_remembered",
        "a seat was never written down",
        f"DELETE FROM ticketing_orderseat WHERE seat_id = {SEAT_OF.format('o_held')}"
        f" AND order_id = {ORDER_ID.format('o_held')}",
        also=("1.orders_cost_their_seats",),
    ),
    Break(
        "1.tiers_add_up",
        "a seat is in no known state",
        "UPDATE ticketing_seat SET state = 'X' WHERE id = (SELECT max(id) FROM ticketing_seat WHERE state = 'F')",
        without=(("ticketing_seat", "ticketing_seat_taken_has_order"),),
    ),
    Break(
        "1.orders_cost_their_seats",
        "a seat costs a fen more",
        f"UPDATE ticketing_orderseat SET price_minor = price_minor + 1 WHERE seat_id = {SEAT_OF.format('o_held')}"
        f" AND order_id = {ORDER_ID.format('o_held')}",
        names="o_held",
    ),
    Break(
        "1.allowances_match_orders",
        "a buyer has taken one more",
        "UPDATE ticketing_allowance SET taken = taken + 1 WHERE id = (SELECT min(id) FROM ticketing_allowance)",
    ),
    Break(
        "1.allowances_match_orders",
        "an order is not counted at all",
        "DELETE FROM ticketing_allowance WHERE buyer_id = (SELECT buyer_id FROM ticketing_order"
        " WHERE number = %(o_held)s)",
    ),
)

HISTORIES = (
    Break(
        "2.order_history",
        "a state without its event",
        "UPDATE ticketing_order SET state = 'paying' WHERE number = %(o_held)s",
        names="o_held",
        also=("7.paying_orders_have_a_payment",),
    ),
    Break(
        "2.order_history",
        "no event at all",
        f"DELETE FROM ticketing_orderevent WHERE order_id = {ORDER_ID.format('o_held')}",
        names="o_held",
    ),
    Break(
        "2.order_history",
        "a first event that begins elsewhere",
        f"UPDATE ticketing_orderevent SET from_state = 'paying' WHERE order_id = {ORDER_ID.format('o_held')}",
        names="o_held",
    ),
    Break(
        "2.order_history",
        "a gap",
        f"DELETE FROM ticketing_orderevent WHERE order_id = {ORDER_ID.format('o_paid_alipay')} AND to_state = 'paying'",
        names="o_paid_alipay",
    ),
    Break(
        "2.payment_history",
        "a move that no rule allows",
        "WITH moved AS (UPDATE payments_payment SET state = 'pending' WHERE number = %(p_closed)s RETURNING id),"
        " asked AS (UPDATE payments_outboxmessage SET done_at = NULL, due_at = now() + interval '1 year'"
        "            WHERE key = 'chase:' || %(p_closed)s)"
        " INSERT INTO payments_paymentevent (payment_id, from_state, to_state, at, reason, actor, facts)"
        " SELECT id, 'closed', 'pending', now(), 'x', '', '{}' FROM moved",
        names="p_closed",
    ),
    Break(
        "2.refund_history",
        "an event too many",
        an_event("refund", "r_refused", "refused", "processing"),
        "r_refused",
    ),
    Break(
        "2.refund_history",
        "two ways to begin",
        an_event("refund", "r_on_its_way", "", "requested"),
        "r_on_its_way",
        violations=3,  # it does not continue, is not allowed, and does not lead to the state
    ),
    Break("2.topup_history", "an event too many", an_event("topup", "t_open", "open", "closed"), "t_open"),
)

DELIVERIES = (
    Break(
        "3.paid_orders_have_tickets",
        "a ticket is void",
        "UPDATE ticketing_ticket SET state = 'void' WHERE seat_id = " + SEAT_OF.format("o_paid_wallet"),
        names="o_paid_wallet",
    ),
    Break(
        "3.tickets_are_paid_for",
        "a refunded order's ticket still admits",
        f"UPDATE ticketing_ticket SET state = 'valid' WHERE order_id = {ORDER_ID.format('o_refunded')} AND seat_id ="
        f" (SELECT min(seat_id) FROM ticketing_ticket WHERE order_id = {ORDER_ID.format('o_refunded')})",
        without=(("ticketing_ticket", "!ticketing_ticket_one_per_seat"),),
    ),
    Break(
        "3.tickets_are_paid_for",
        "a ticket names another buyer",
        "UPDATE ticketing_ticket SET buyer_id = (SELECT max(id) FROM accounts_user)"
        " WHERE seat_id = " + SEAT_OF.format("o_paid_wallet"),
    ),
    Break(
        "3.closed_orders_owe_nothing",
        "late money without a refund",
        f"DELETE FROM payments_refund WHERE payment_id = {PAYMENT_ID.format('p_surplus')}",
        names="o_surplus",
        also=("4.surplus_goes_back", "6.refunds_are_booked", "6.clearing_is_owed"),
    ),
    Break(
        "3.refunded_orders_are_refunded",
        "a refund is done and its order still paid",
        "WITH booked AS (UPDATE payments_refund SET state = 'succeeded', refunded_at = now()"
        " WHERE number = %(r_refused)s RETURNING id)"
        " INSERT INTO payments_refundevent (refund_id, from_state, to_state, at, reason, actor, facts)"
        " SELECT id, 'refused', 'succeeded', now(), 'x', '', '{}' FROM booked",
        names="o_refused",
        also=("6.refunds_are_booked", "6.clearing_is_owed", "6.suspense_is_on_its_way"),
    ),
)

WINNERS = (
    Break(
        "4.one_winner",
        "both payments won",
        "UPDATE payments_payment SET outcome = 'won' WHERE number = %(p_twice_first)s",
        names="o_paid_twice",
        also=("6.payments_are_booked", "6.refunds_are_booked"),
        without=(("payments_payment", "!payments_payment_one_winner"),),
    ),
    Break(
        "4.winner_is_named",
        "an order names a payment that does not exist",
        "UPDATE ticketing_order SET winner = 'PNOBODY' WHERE number = %(o_paid_alipay)s",
        names="o_paid_alipay",
        violations=2,
    ),
    Break(
        "4.winner_is_named",
        "a top-up does not know who paid it",
        "UPDATE wallet_topup SET winner = '' WHERE number = %(t_credited)s",
    ),
    Break(
        "4.payments_fit_their_purchases",
        "a payment in flight is for a fen less",
        "UPDATE payments_payment SET amount_minor = amount_minor - 1 WHERE number = %(p_live)s",
        names="p_live",
    ),
    Break(
        "4.payments_fit_their_purchases",
        "a payment for nothing that exists",
        "UPDATE payments_payment SET purchase_number = 'KNOTHING' WHERE number = %(p_closed)s",
        names="p_closed",
    ),
    Break(
        "4.surplus_goes_back",
        "a success that won nothing and got no refund",
        f"DELETE FROM payments_refund WHERE payment_id = {PAYMENT_ID.format('p_twice_first')}",
        names="p_twice_first",
        also=("6.refunds_are_booked", "6.clearing_is_owed"),
    ),
    Break(
        "4.refunds_within_payments",
        "a refund of more than was taken",
        "UPDATE payments_refund SET amount_minor = amount_minor + 1 WHERE number = %(r_on_its_way)s",
        names="p_on_its_way",
        also=("6.refunds_are_booked", "6.suspense_is_on_its_way"),
    ),
)

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

BREAKS = SEATS + HISTORIES + DELIVERIES + WINNERS + LEDGER + BOOKS + SCHEDULES
