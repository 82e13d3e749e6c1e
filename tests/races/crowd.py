"""Many threads that start together, each with a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """
    Run every work in its own thread, all released by one barrier. What each returned, or the exception that it raised,
    in the order of `works`.
    """
    # The pool has 16 connections: the main thread's would be missing.
    connection.close()
    barrier = threading.Barrier(len(works))
    outcomes: list[Any] = [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout=20)
            outcomes[place] = work()
        except Exception as error:  # handed back: the test judges it
            outcomes[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "a thread hangs: a deadlock that nobody detects"
    return outcomes


def errors(outcomes: Sequence[Any], *expected: type[Exception]) -> list[Exception]:
    """The exceptions that are none of `expected`."""
    return [one for one in outcomes if isinstance(one, Exception) and not isinstance(one, expected)]


def count(outcomes: Sequence[Any], kind: type) -> int:
    return sum(isinstance(one, kind) for one in outcomes)


def crowd(buyer: Callable[..., Any], size: int = 16, **money: int) -> list[Any]:
    """That many buyers, without passwords: hashing them would take longer than the race."""
    from accounts.models import User

    handles = [f"b{place}" for place in range(size)]
    known = set(User.objects.filter(handle__in=handles).values_list("handle", flat=True))
    User.objects.bulk_create([User.objects.build(handle=handle) for handle in handles if handle not in known])
    return [buyer(handle, **money) for handle in handles]
