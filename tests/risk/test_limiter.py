"""The limiter: never more than the limit in any window, whoever asks and from how many processes."""

from __future__ import annotations

import multiprocessing
import random
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


def test_nobody_is_refused_for_what_is_over():
    """A refusal means that the limit is reached in the window, or in it and the slot (a tenth) that is just leaving."""
    limit, window_ms = 9, 200
    rules = [Rule("s", "random", limit, window_ms)]
    passed: list[int] = []
    refused = 0
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        answer = ask("random", rules, open_if_away=False)
        if answer.passed:
            assert answer.remaining < limit
            passed.append(answer.at_ms)
        else:
            refused += 1
            lately = [at for at in passed if at > answer.at_ms - window_ms * 1.1 - 1]
            assert len(lately) >= limit
            assert answer.retry_after_ms <= window_ms * 1.1 + 1
        time.sleep(random.choice([0.0, 0.003, 0.02]))
    assert refused > 10
    assert len(passed) > 4 * limit
    worst = max(sum(1 for at in passed[i:] if at < start + window_ms) for i, start in enumerate(passed))
    assert worst <= limit


def test_two_windows_for_one_subject_are_both_kept():
    rules = [Rule("b", "1", 2, window_ms=200), Rule("b", "1", 3, window_ms=60_000)]
    passed = []
    for _ in range(5):
        passed.append(ask("s", rules, open_if_away=False).passed)
        time.sleep(0.13)
    assert passed == [True, True, True, False, False]


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
