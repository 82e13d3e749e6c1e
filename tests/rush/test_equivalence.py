"""The batch way and the one-by-one way leave the same rows: 200 random orders through both, table by table."""

import json
import random

from django.db import connection

from payments import checkout
from ticketing import orders, phases, seats
from ticketing.rush import keys

ORDERS = 200

# Everything an order leaves behind, without numbers, times and ids of its own.
ROWS = {
    "orders": """
SELECT o.buyer_id - %(base)s, o.client_key, o.quantity, o.amount_minor, o.currency, o.state, o.accept_equal_seats,
       o.winner <> '', o.hold_until - o.placed_at, o.hold_limit - o.placed_at, phase.kind, tier.code
  FROM ticketing_order o JOIN ticketing_salephase phase ON phase.id = o.phase_id
  JOIN ticketing_pricetier tier ON tier.id = o.tier_id ORDER BY o.id""",
    "seats": """
SELECT row.rank, seat.position, seat.state, o.buyer_id - %(base)s, o.client_key
  FROM ticketing_seat seat JOIN ticketing_row row ON row.id = seat.row_id
  LEFT JOIN ticketing_order o ON o.id = seat.order_id ORDER BY 1, 2""",
    "order seats": """
SELECT o.buyer_id - %(base)s, o.client_key, given.price_minor, row.rank, seat.position
  FROM ticketing_orderseat given JOIN ticketing_order o ON o.id = given.order_id
  JOIN ticketing_seat seat ON seat.id = given.seat_id JOIN ticketing_row row ON row.id = seat.row_id ORDER BY 4, 5""",
    "order events": """
SELECT o.buyer_id - %(base)s, o.client_key, event.from_state, event.to_state, event.reason, event.actor,
       (event.facts - 'payment')::text, event.facts ->> 'payment' = o.winner
  FROM ticketing_orderevent event JOIN ticketing_order o ON o.id = event.order_id ORDER BY o.id, event.id""",
    "allowances": """
SELECT buyer_id - %(base)s, taken FROM ticketing_allowance WHERE taken > 0 ORDER BY 1""",
    "payments": """
SELECT o.buyer_id - %(base)s, o.client_key, p.purchase_kind, p.buyer_id - %(base)s, p.channel, p.amount_minor,
       p.currency, p.subject = 'Tickets ' || o.number, p.state, p.outcome, p.expires_at - o.placed_at > interval '0',
       p.superseded_at, p.opening_at = p.created_at, p.cashier_kind, p.cashier_url,
       p.channel_reference = CASE WHEN p.outcome = 'won' THEN p.number ELSE '' END, p.refusal, p.paid_at = p.created_at
  FROM payments_payment p JOIN ticketing_order o ON o.number = p.purchase_number ORDER BY o.id, p.id""",
    "payment events": """
SELECT o.buyer_id - %(base)s, o.client_key, event.from_state, event.to_state, event.reason, event.actor,
       (event.facts - 'channel_reference')::text, event.facts ->> 'channel_reference' = p.number
  FROM payments_paymentevent event JOIN payments_payment p ON p.id = event.payment_id
  JOIN ticketing_order o ON o.number = p.purchase_number ORDER BY o.id, event.id""",
    "burned tokens": """
SELECT o.buyer_id - %(base)s, o.client_key, burned.buyer_id - %(base)s, p.number = burned.burned_for
  FROM risk_burnedtoken burned JOIN ticketing_order o ON 'order:' || o.number = burned.subject
  LEFT JOIN payments_payment p ON p.purchase_number = o.number ORDER BY o.id""",
    "entries": """
SELECT o.buyer_id - %(base)s, o.client_key, entry.kind, entry.key = 'pay:' || o.winner, entry.memo, account.kind,
       CASE WHEN account.owner = o.buyer_id::text THEN 'own' ELSE account.owner END, posting.amount_minor
  FROM wallet_journalentry entry JOIN ticketing_order o ON o.number = entry.reference
  JOIN wallet_posting posting ON posting.entry_id = entry.id
  JOIN wallet_account account ON account.id = posting.account_id
 ORDER BY o.id, account.kind""",
    "balances": """
SELECT kind, owner::bigint - %(base)s, balance_minor FROM wallet_account WHERE kind LIKE 'buyer%%' ORDER BY 1, 2""",
    "tickets": """
SELECT o.buyer_id - %(base)s, o.client_key, row.rank, seat.position, ticket.state, ticket.buyer_id = o.buyer_id,
       ticket.show_id = o.show_id
  FROM ticketing_ticket ticket JOIN ticketing_order o ON o.id = ticket.order_id
  JOIN ticketing_seat seat ON seat.id = ticket.seat_id JOIN ticketing_row row ON row.id = seat.row_id ORDER BY 3, 4""",
    "outbox": "SELECT kind, key FROM payments_outboxmessage ORDER BY key",
}


def rows(base):
    found = {}
    with connection.cursor() as cursor:
        for name, query in ROWS.items():
            cursor.execute(query, {"base": base})
            found[name] = [tuple(map(str, row)) for row in cursor.fetchall()]
    return found


def wishes(seed, people):
    """Who wants what, in order: some too much, some twice, some for seats of their choice."""
    chance = random.Random(seed)
    return [
        (chance.randrange(people), f"k{i}", chance.randint(1, 4), chance.random() < 0.2)
        for i in range(ORDERS)
    ]


def fund(people, clock):
    """Some are poor, some have bonus."""
    from payments import money
    from wallet.ledger import Entry, Line, post_all

    gifts = []
    for i, person in enumerate(people):
        cash, bonus = (i * 7919) % 200_000, (i * 104_729) % 60_000 if i % 3 == 0 else 0
        for amount, account, source in (
            (cash, money.buyer_cash(person.pk, "CNY"), "opening::CNY"),
            (bonus, money.buyer_bonus(person.pk, "CNY"), "promotion::CNY"),
        ):
            if amount:
                gifts.append(
                    Entry(f"gift:{account}", "opening", "", (Line(source, -amount), Line(account, amount)))
                )
    post_all(gifts, at=clock())


def slow_way(rush, people, clock):
    placed = {}
    for who, key, quantity, equal in wishes(1, len(people)):
        try:
            placed[key] = orders.place_order(
                buyer=people[who],
                client_key=key,
                tier_id=rush.tier.pk,
                quantity=quantity,
                accept_equal_seats=equal,
                now=clock(),
            )
        except (phases.LimitReached, seats.SoldOut):
            placed[key] = None
    for order in filter(None, placed.values()):
        token = checkout.offer(kind="order", number=order.number, buyer_id=order.buyer_id, now=clock()).token
        checkout.pay(
            kind="order",
            number=order.number,
            buyer_id=order.buyer_id,
            channel="wallet",
            token=token,
            return_url="",
            now=clock(),
        )
    return {key: order is not None for key, order in placed.items()}


def fast_way(rush, people):
    from basis import fast

    given = []
    for who, key, quantity, equal in wishes(1, len(people)):
        # The door's own refusals are not what is compared here.
        fast.store().delete(keys.count(rush.tier.pk, people[who].pk))
        fast.store().hset(keys.sale(rush.tier.pk), "free", 10_000)
        given.append(
            (people[who], key, rush.submit(people[who], quantity, key=key, accept_equal_seats=equal))
        )
    rush.turn()
    told = {key: (person, rush.status(person, number)) for person, key, number in given}
    for person, status in told.values():
        if status["state"] == "held":
            rush.press(person, status["order"], status["payment_token"])
    rush.turn()
    for person, status in told.values():
        if status["state"] == "held":
            verdict, result, _ = rush.press(person, status["order"], status["payment_token"])
            assert (verdict, json.loads(result)["state"] in ("paid", "failed")) == ("done", True)
    return {key: status["state"] == "held" for key, (_, status) in told.items()}


def test_both_ways_leave_the_same_rows(transactional_db, show, clock, crowd):
    """The fast way runs first and is rolled back by truncation: both start from the same empty tables."""
    from django.core.management import call_command

    from basis import fast
    from operations import audit
    from tests.rush.conftest import Rush
    from ticketing import sample

    left, taken = [], []
    for way in ("fast", "slow"):
        people = crowd(60)
        fund(people, clock)
        show = sample.make_show(code="small", now=clock(), rows_per_section=1)
        rush = Rush(show, clock, tier="VIP")
        rush.warm()
        taken.append(fast_way(rush, people) if way == "fast" else slow_way(rush, people, clock))
        left.append(rows(people[0].pk))
        assert all(result.ok for result in audit.audit(now=clock.now))
        rush.drainer.leave()
        if way == "fast":
            call_command("flush", interactive=False, verbosity=0)
            fast.store().flushdb()
    assert taken[0] == taken[1]
    assert True in taken[0].values()
    assert False in taken[0].values()
    for name in ROWS:
        assert left[0][name] == left[1][name], name
    assert {row[8] for row in left[0]["payments"]} == {"succeeded", "failed"}
