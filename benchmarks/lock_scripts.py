"""
One job, done under seven kinds of lock, as scripts for pgbench: the two best seats side by side of one price tier, held
for an order. What is written is the same in all; they differ in what keeps two orders from the same seats.

A script is one order: it tries until it has its seats, `TRIES` times at most.
"""

from __future__ import annotations

from dataclasses import dataclass

TRIES = 12
SLOW_ONE_IN, SLOW_MS = 50, 100

PAIR = """
SELECT a.id AS a, b.id AS b FROM ticketing_seat a
  JOIN ticketing_seat b ON b.show_id = a.show_id AND b.row_id = a.row_id AND b.position = a.position + 1
                       AND b.state = 'F'
 WHERE a.tier_id = :tier AND a.state = 'F' AND a.order_id IS NULL ORDER BY a.row_rank, a.row_id, a.position LIMIT 1"""
KNOWN = "SELECT a, b FROM bench_lock_pair WHERE n = (SELECT nextval('bench_lock_next'))"
CHOOSE = """
SELECT coalesce(max(a), 0) AS a, coalesce(max(b), 0) AS b, nextval('ticketing_order_id_seq') AS o
  FROM ({best}) AS best
\\gset
"""
# Whatever was locked before: a seat is taken only while it is free, and the count says whether both were.
WRITE = """
WITH taken AS (
  UPDATE ticketing_seat SET state = 'H', order_id = :o WHERE id IN (:a, :b) AND state = 'F' RETURNING 1
) SELECT count(*) AS n FROM taken
\\gset
\\if :n = 2
INSERT INTO ticketing_order (id, number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor,
  currency, state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
VALUES (:o, 'K' || :o, :buyer, 'K' || :o, :show, :phase, :tier, 2, 2 * :price,
  'CNY', 'held', false, '', now(), now() + interval '15 min', now() + interval '25 min');
INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor) VALUES (:o, :a, :price), (:o, :b, :price);
INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
VALUES (:o, '', 'held', now(), 'placed', '', '{}');
COMMIT;
\\set sold 1
\\else
ROLLBACK;
\\endif
"""
SLOW = f"""
\\set r random(1, {SLOW_ONE_IN})
\\if :r = 1
\\sleep {SLOW_MS} ms
\\endif
"""


@dataclass(frozen=True, slots=True)
class Method:
    """`before` the choice, `lock` as its last words, `guard` after it: its `ok` is 1 if nobody was faster."""

    name: str
    best: str = PAIR
    before: str = ""
    lock: str = ""
    guard: str = "\\set ok 1\n"

    def script(self, *, slow: bool = False) -> str:
        """One order; `slow` has one in `SLOW_ONE_IN` pause between its choice and its writes."""
        one_try = (
            "\\if :sold = 0\nBEGIN;\n"
            + self.before
            + CHOOSE.format(best=self.best + self.lock)
            + (SLOW if slow else "")
            + self.guard
            + "\\if :ok = 1\n"
            + WRITE
            + "\\else\nROLLBACK;\n\\endif\n\\endif\n"
        )
        return "\\set sold 0\n\\set buyer random(:first, :last)\n" + one_try * TRIES


METHODS = (
    Method("seats known beforehand", best=KNOWN),
    Method("conditional update"),
    Method("optimistic version", before="SELECT version AS v FROM bench_lock_version WHERE tier_id = :tier\n\\gset\n",
           guard="WITH u AS (UPDATE bench_lock_version SET version = version + 1 WHERE tier_id = :tier AND version = :v"
                 " RETURNING 1) SELECT count(*) AS ok FROM u\n\\gset\n"),
    Method("row lock on the seats", lock=" FOR NO KEY UPDATE OF a, b"),
    Method("SKIP LOCKED on the seats", lock=" FOR NO KEY UPDATE OF a, b SKIP LOCKED"),
    Method("row lock on the tier",
           before="SELECT 1 AS locked FROM ticketing_pricetier WHERE id = :tier FOR NO KEY UPDATE\n\\gset\n"),
    Method("advisory lock on the tier", before="SELECT 1 AS locked FROM pg_advisory_xact_lock(7001, :tier)\n\\gset\n"),
)  # fmt: skip
