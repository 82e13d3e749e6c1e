"""Wallet payments that all credit one guarantee account, beside the same payments that credit many."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from benchmarks import ground
from benchmarks.figures import Figure, benchmark

CLIENTS, RUN_S, ROUNDS, MANY, BAR = 4, 4.0, 3, 64, 0.9


@benchmark("hot_account")
def hot_account() -> Figure:
    """Payments a second into one account; the ceiling is the rate into many, in turns with it."""
    from operations import seeding
    from payments import money
    from wallet import ledger
    from wallet.models import AccountKind

    now = datetime.now(UTC)
    buyers = seeding.seed_buyers(400, 100_000_000, now=now, prefix="h")
    many = ledger.open_accounts(AccountKind.GUARANTEE, [f"bench-{i}" for i in range(MANY)], now=now)
    one = [money.guarantee("CNY")]
    hot, spread = [], []
    for turn in range(ROUNDS):
        for targets, rates in ((one, hot), (many, spread)):
            rates.append(_pay(buyers, targets, f"{turn}:{len(targets)}"))
    facts = {"clients": CLIENTS, "hot": [round(r) for r in hot], "many": [round(r) for r in spread]}
    wrong = [found for found in ground.violations() if not found.startswith("6.")]
    rate, ceiling = sorted(hot)[ROUNDS // 2], sorted(spread)[ROUNDS // 2]
    return Figure(
        "hot_account",
        rate,
        "payments/s",
        ceiling=ceiling,
        bar=BAR * ceiling,
        facts=facts | {"audit": wrong[:2] or "clean"},
    )


def _pay(buyers: list[int], targets: list[str], name: str) -> float:
    """Entries a second by `CLIENTS` threads, each its own buyers, a transaction an entry."""
    from django.db import connection

    from payments import money
    from wallet.ledger import Entry, Line, post

    done, end = [0] * CLIENTS, time.perf_counter() + RUN_S

    def client(place: int) -> None:
        mine, n = buyers[place::CLIENTS], 0
        while time.perf_counter() < end:
            cash, target = money.buyer_cash(mine[n % len(mine)], "CNY"), targets[(n + place) % len(targets)]
            lines = (Line(cash, -1), Line(target, 1))
            post(Entry(f"hot:{name}:{place}:{n}", "bench", "", lines), at=datetime.now(UTC))
            n += 1
        done[place] = n
        connection.close()

    threads = [threading.Thread(target=client, args=(place,)) for place in range(CLIENTS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begun)
