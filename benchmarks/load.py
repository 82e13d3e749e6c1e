"""
The load generator, a process of its own: reads a plan from standard input, drives it, writes what it saw.

`{"url", "clients", "warm_s", "run_s", "buyers": [{"token"}], "show", "tiers"}`. Every client is one connection,
ordering and paying from the wallet without a pause; a buyer orders `ORDERS_EACH` times, then comes the next.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import aiohttp

ORDERS_EACH = 4


class Refused(Exception):
    """A step was answered with an error."""


async def drive(plan: dict[str, Any]) -> dict[str, Any]:
    seen: Counter[str] = Counter()
    took: list[float] = []
    turns = iter([buyer for buyer in plan["buyers"] for _ in range(ORDERS_EACH)])
    tiers = itertools.cycle(plan["tiers"])
    begin = time.perf_counter() + plan["warm_s"]
    end = begin + plan["run_s"]
    cpu_at: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        while (started := time.perf_counter()) < end:
            buyer = next(turns, None)
            if buyer is None:
                seen["ran_out_of_buyers"] += 1
                return
            try:
                await one_order(session, plan, buyer, next(tiers))
            except (Refused, aiohttp.ClientError) as error:
                seen[str(error)[:120]] += 1
                continue
            ended = time.perf_counter()
            seen["done_in_all"] += 1
            if begin <= ended <= end:
                if not cpu_at:
                    cpu_at.append(time.process_time())
                seen["done"] += 1
                took.append(ended - started)

    connector = aiohttp.TCPConnector(limit=plan["clients"])
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(plan["clients"])))
    took.sort()
    return {
        "done": seen.pop("done", 0),
        "done_in_all": seen.pop("done_in_all", 0),
        "errors": dict(seen),
        "p50_ms": round(took[len(took) // 2] * 1000, 1) if took else None,
        "p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1) if took else None,
        "cpu_share": round((time.process_time() - cpu_at[0]) / plan["run_s"], 2) if cpu_at else None,
    }


async def one_order(
    session: aiohttp.ClientSession, plan: dict[str, Any], buyer: dict[str, Any], tier: str
) -> None:
    order = await post(session, plan, buyer, "orders", {"show": plan["show"], "tier": tier, "quantity": 1})
    offer = await post(session, plan, buyer, f"orders/{order['number']}/payment-token", {})
    body = {"order": order["number"], "channel": "wallet", "token": offer["token"]}
    payment = await post(session, plan, buyer, "payments", body)
    if payment["state"] != "succeeded":
        raise Refused(f"payment {payment['state']} {payment['refusal']}")


async def post(
    session: aiohttp.ClientSession,
    plan: dict[str, Any],
    buyer: dict[str, Any],
    path: str,
    body: dict[str, Any],
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {buyer['token']}", "Idempotency-Key": uuid4().hex}
    async with session.post(f"{plan['url']}/api/v1/{path}", json=body, headers=headers) as answer:
        told: dict[str, Any] = await answer.json(content_type=None)
        if answer.status >= 300:
            raise Refused(f"{path.partition('/')[0]} {answer.status} {told.get('code')}")
        return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(json.load(sys.stdin)))))
