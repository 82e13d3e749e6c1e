"""What a crowd did and what it was told: counts, latencies, and every refusal by its code."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

SHOP, CHANNEL = "shop", "channel"


@dataclass(slots=True)
class Tally:
    """
    One per crowd, written by all of its buyers (they share one event loop, so nothing is lost).

    `counts` holds what happened (`orders`, `seats_sold`, `paid_alipay` …), `ends` how each buyer's evening ended,
    `refusals` every answer of 400 and above by `host status code`, `failures` the 5xx that were no weather.
    """

    buyers: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    latencies_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    began_at: float = field(default_factory=time.monotonic)
    requests: int = 0

    def answered(self, *, host: str, step: str, status: int, code: str, seconds: float) -> None:
        """Note one HTTP answer. A 503 says "come again"; any other 5xx of the shop is a defect."""
        self.requests += 1
        self.latencies_s[step].append(seconds)
        if status >= 400:
            self.refusals[f"{host} {status} {code or '-'}"] += 1
        if status >= 500 and status != 503 and host == SHOP:
            self.failures.append(f"{step}: {status} {code}")

    def dropped(self, *, host: str, step: str, error: str) -> None:
        self.requests += 1
        self.refusals[f"{host} dropped {error}"] += 1
        self.counts[f"dropped_{host}"] += 1

    def ended(self, how: str) -> None:
        self.ends[how] += 1

    @property
    def done(self) -> int:
        return self.ends.total()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began_at

    def summary(self) -> dict[str, Any]:
        """Everything as plain JSON; latencies in milliseconds."""
        return {
            "buyers": self.buyers,
            "seconds": round(self.seconds, 1),
            "requests": self.requests,
            "counts": dict(sorted(self.counts.items())),
            "ends": dict(sorted(self.ends.items())),
            "refusals": dict(self.refusals.most_common()),
            "failures": self.failures[:50],
            "failures_count": len(self.failures),
            "latency_ms": {step: _spread_ms(taken) for step, taken in sorted(self.latencies_s.items())},
        }


def _spread_ms(taken_s: list[float]) -> dict[str, float]:
    ordered = sorted(taken_s)
    return {
        "count": len(ordered),
        "p50": round(quantile(ordered, 0.5) * 1000, 1),
        "p99": round(quantile(ordered, 0.99) * 1000, 1),
    }


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile of an ascending list; 0 for an empty one."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
