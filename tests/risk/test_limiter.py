"""The limiter: never more than the limit in any window, whoever asks and from how many processes."""

from __future__ import annotations

import multiprocessing
import time

from basis import fast
from risk.limiter import Rule, ask


def test_the_limit_is_passed_and_no_more(clock):
    answers = [ask("show", [Rule("buyer", "7", 5)], open_if_away=False) for _ in range(8)]
    assert [a.passed for a in answers] == [True] * 5 + [False] * 3
    assert answers[-1].refused_by == "buyer"
    assert 0 < answers[-1].retry_after_ms <= 1200


def test_a_refused_request_counts_nowhere(clock):
    for _ in range(5):
        ask("show", [Rule("show", "s", 100), Rule("buyer", "7", 1)], open_if_away=False)
    other = ask("show", [Rule("show", "s", 2), Rule("buyer", "8", 1)], open_if_away=False)
    assert other.passed


def test_the_window_slides():
    rule = Rule("buyer", "9", 2, window_ms=200)
    assert [ask("s", [rule], open_if_away=False).passed for _ in range(3)] == [True, True, False]
    time.sleep(0.25)
    assert ask("s", [rule], open_if_away=False).passed


def hammer(url: str, seconds: float, found: multiprocessing.Queue) -> None:
    import django
    from django.conf import settings

    django.setup()
    settings.REDIS_URL = url
    fast.store.cache_clear()
    passed = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask("s", [Rule("show", "hot", 50, window_ms=200)], open_if_away=False)
        if answer.passed:
            passed.append(answer.at_ms)
    found.put(passed)


def test_four_processes_never_pass_more_than_the_limit_in_any_window(settings):
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    workers = [context.Process(target=hammer, args=(settings.REDIS_URL, 1.5, found)) for _ in range(4)]
    for worker in workers:
        worker.start()
    times = sorted(t for _ in workers for t in found.get(timeout=60))
    for worker in workers:
        worker.join()
    assert len(times) > 50
    busiest = max(sum(1 for t in times[i:] if t < start + 200) for i, start in enumerate(times))
    assert busiest <= 50


def test_with_the_store_away_reads_stay_open_and_orders_close(settings):
    settings.REDIS_URL = "unix:///nonexistent/kaipiao.sock"
    fast.store.cache_clear()
    try:
        assert ask("s", [Rule("show", "s", 1)], open_if_away=True).passed
        closed = ask("s", [Rule("show", "s", 1)], open_if_away=False)
        assert (closed.passed, closed.refused_by) == (False, "store_away")
    finally:
        fast.store.cache_clear()
