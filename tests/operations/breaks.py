"""How seats, histories, deliveries and winners (invariants 1 to 4) are broken on purpose; and every break together."""

from __future__ import annotations

from tests.operations.breaks_of_money import BOOKS, LEDGER, SCHEDULES, SETTLEMENTS, WITHDRAWALS
from tests.operations.broken import ENTRY_ID, ORDER_ID, PAYMENT_ID, SEAT_OF, Break, an_event

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

GIVEBACKS = (
    Break(
        "3.cancelled_shows_owe_nothing",
        "a seat of a cancelled show can be sold",
        "UPDATE ticketing_seat SET state = 'F' WHERE id = (SELECT max(seat.id) FROM ticketing_seat seat"
        " JOIN ticketing_show show ON show.id = seat.show_id WHERE show.code = 'gone')",
    ),
    Break(
        "7.cancelled_shows_are_driven",
        "nothing gives a cancelled show back",
        "UPDATE ticketing_showcancellation SET state = 'returning', done_at = NULL",
    ),
    Break(
        "3.refunded_seats_are_gone",
        "a seat was given back on another order's ticket",
        "UPDATE ticketing_refundedseat SET ticket_id = (SELECT min(id) FROM ticketing_ticket WHERE order_id = "
        + ORDER_ID.format("o_refunded")
        + ") WHERE request_id = (SELECT id FROM ticketing_refundrequest WHERE order_id = "
        + ORDER_ID.format("o_given_back")
        + ")",
        names="o_given_back",
    ),
    Break(
        "4.requests_are_refunds",
        "a fen more was kept than is said",
        "UPDATE ticketing_refundrequest SET kept_minor = kept_minor + 1 WHERE order_id = "
        + ORDER_ID.format("o_given_back"),
        names="o_given_back",
    ),
    Break(
        "4.requests_are_refunds",
        "what was granted is no refund",
        "UPDATE ticketing_refundrequest SET refund_number = 'RNOTHING' WHERE order_id = "
        + ORDER_ID.format("o_less_fee"),
        names="o_less_fee",
    ),
    Break(
        "5.wallets_get_back_what_they_paid",
        "a wallet got a fen more back than was taken",
        "UPDATE wallet_posting SET amount_minor = amount_minor + 1 WHERE amount_minor > 0 AND entry_id = "
        + ENTRY_ID.format("refund:", "r_refunded_wallet"),
        names="p_refunded_wallet",
        also=("5.entries_balance", "5.balances_are_postings", "6.refunds_are_booked"),
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
        also=("6.refunds_are_booked", "6.suspense_is_on_its_way", "6.guarantee_is_explained"),
    ),
)

BREAKS = (
    SEATS
    + HISTORIES
    + DELIVERIES
    + GIVEBACKS
    + WINNERS
    + LEDGER
    + BOOKS
    + SETTLEMENTS
    + WITHDRAWALS
    + SCHEDULES
)
