"""
One process that asks the limiter (or only the store) as fast as it can for SECONDS, for each kind that it is told on a
line of its input: `bare`, `one` or `three` rules, or `exact`, which tells when each request passed one limit that all
processes share. It answers each with a line of JSON: `python -m benchmarks.limit_clients SECONDS`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable

SUBJECTS = 10_000  # addresses or buyers at a busy door; what one key for everybody costs is measured apart
EXACT_LIMIT, EXACT_SUBJECT = 3_000, "everybody"


def asks(kind: str) -> Callable[[], int]:
    """What is repeated; it answers the store's time in milliseconds if a request passed that is to be remembered."""
    from basis import fast
    from risk import limiter

    def bare() -> int:
        fast.store().incr(f"bench:bare:{random.randrange(SUBJECTS)}")
        return 0

    def rules(count: int) -> None:
        subject = str(random.randrange(SUBJECTS))
        wanted = [limiter.Rule(f"bench{i}", subject, 10_000_000) for i in range(count)]
        assert limiter.ask("bench", wanted, open_if_away=False).passed

    def exact() -> int:
        rule = limiter.Rule("exact", EXACT_SUBJECT, EXACT_LIMIT)
        answer = limiter.ask(EXACT_SUBJECT, [rule], open_if_away=False)
        return answer.at_ms if answer.passed else 0

    def one() -> int:
        rules(1)
        return 0

    def three() -> int:
        rules(3)
        return 0

    return {"bare": bare, "one": one, "three": three, "exact": exact}[kind]


def run(kind: str, seconds: float) -> dict[str, object]:
    ask, done, passed = asks(kind), 0, []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        at_ms = ask()
        done += 1
        if at_ms:
            passed.append(at_ms)
    return {"done": done, "passed": passed}


def main() -> None:
    import django

    django.setup()
    run("bare", 0.0)
    for line in sys.stdin:
        print(json.dumps(run(line.strip(), float(sys.argv[1]))), flush=True)


if __name__ == "__main__":
    main()
