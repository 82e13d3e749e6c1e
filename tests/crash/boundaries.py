"""
The step boundaries of a web or worker process, put around the real product from outside: before and after every commit
(also of a single statement), before and after every call to a channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from payments.channels.wire import Wire
from tests.crash.plan import Plan

WRITES = ("INSERT", "UPDATE", "DELETE")


def watch(plan: Plan, who: str) -> None:
    """From now on this process passes boundaries as `who`."""

    def at(name: str) -> None:
        plan.boundary(who, name)

    _around_commits(at)
    _around_single_statements(at)
    _around_channel_calls(at)


def _around_commits(at: Callable[[str], None]) -> None:
    commit = BaseDatabaseWrapper._commit

    def watched(self: BaseDatabaseWrapper) -> None:
        at("before commit")
        commit(self)
        at("after commit")

    BaseDatabaseWrapper._commit = watched


def _around_single_statements(at: Callable[[str], None]) -> None:
    def watched(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        statement = str(sql).strip()
        commits = statement.startswith(WRITES) and not connection.in_atomic_block
        what = " ".join(statement.split()[:3])
        if commits:
            at(f"before {what}")
        answer = execute(sql, params, many, context)
        if commits:
            at(f"after {what}")
        return answer

    connection.execute_wrappers.append(watched)


def _around_channel_calls(at: Callable[[str], None]) -> None:
    send = Wire.send

    def watched(self: Wire, method: str, url: str, **request: Any) -> Any:
        at(f"before {method} to the channel")
        answer = send(self, method, url, **request)
        at(f"after {method} to the channel")
        return answer

    Wire.send = watched
