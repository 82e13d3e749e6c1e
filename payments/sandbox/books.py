"""
The gateways' own books: SQLite, committed to the disk before anything is answered, so that a killed sandbox
has lost nothing of what it ever told anybody.

All statements run in the event loop's thread, each change inside a savepoint of one open transaction;
`durable` commits it. Requests that arrive together share one commit, which is what makes a synchronous disk
fast enough.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# trades.state: offered (Alipay: a code or page nobody has opened) -> waiting -> paid | closed.
# refunds.state: processing -> success. notifies.state: pending -> done | exhausted. Times are Unix seconds,
# amounts are fen.
SCHEMA = """
CREATE TABLE IF NOT EXISTS trades (
  channel TEXT NOT NULL, number TEXT NOT NULL, reference TEXT NOT NULL, subject TEXT NOT NULL,
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), refunded_minor INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL, product TEXT NOT NULL, buyer TEXT NOT NULL,
  notify_url TEXT NOT NULL, return_url TEXT NOT NULL,
  created_at REAL NOT NULL, expires_at REAL NOT NULL, paid_at REAL, closed_at REAL,
  CHECK (refunded_minor BETWEEN 0 AND amount_minor), CHECK (state <> 'paid' OR paid_at IS NOT NULL),
  PRIMARY KEY (channel, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refunds (
  channel TEXT NOT NULL, refund_number TEXT NOT NULL, number TEXT NOT NULL, reference TEXT NOT NULL,
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), reason TEXT NOT NULL, notify_url TEXT NOT NULL,
  state TEXT NOT NULL, created_at REAL NOT NULL, done_at REAL NOT NULL,
  PRIMARY KEY (channel, refund_number, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refunds_by_trade ON refunds (channel, number);
CREATE TABLE IF NOT EXISTS transfers (
  number TEXT PRIMARY KEY, reference TEXT NOT NULL, amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
  product TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL, created_at REAL NOT NULL, done_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notifies (
  id INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL, number TEXT NOT NULL,
  refund_number TEXT NOT NULL DEFAULT '', url TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending',
  attempts INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL, due_at REAL NOT NULL,
  fault TEXT NOT NULL DEFAULT '', args TEXT NOT NULL DEFAULT '{}', answers TEXT NOT NULL DEFAULT '[]',
  sent_headers TEXT NOT NULL DEFAULT '', sent_body BLOB NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS notifies_due ON notifies (due_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS notifies_by_number ON notifies (number);
CREATE TABLE IF NOT EXISTS faults (
  id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number TEXT NOT NULL, op TEXT NOT NULL,
  fault TEXT NOT NULL, times INTEGER, args TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS weather (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS planted (
  id INTEGER PRIMARY KEY, channel TEXT NOT NULL, day TEXT NOT NULL, what TEXT NOT NULL, number TEXT NOT NULL,
  place TEXT NOT NULL, args TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS bill_settings (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS struck (
  channel TEXT NOT NULL, number TEXT NOT NULL, op TEXT NOT NULL, PRIMARY KEY (channel, number, op)
) WITHOUT ROWID;
"""
TABLES = (
    "trades",
    "refunds",
    "transfers",
    "notifies",
    "faults",
    "weather",
    "struck",
    "planted",
    "bill_settings",
)


class Books:
    """One connection, one thread. `change` for every write, `durable` before every answer."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=2000;")
        self._db.executescript(SCHEMA)
        self._commit: asyncio.Future[None] | None = None

    def close(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Writes inside happen together or, if the block raises, not at all."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("SAVEPOINT change")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK TO change")
            raise
        finally:
            self._db.execute("RELEASE change")

    async def durable(self) -> None:
        """Return once everything written so far is on the disk."""
        if not self._db.in_transaction:
            return
        if self._commit is None:
            self._commit = asyncio.ensure_future(self._commit_together())
        await asyncio.shield(self._commit)

    async def _commit_together(self) -> None:
        # One turn of the loop: whoever is ready to write now gets on the same commit.
        await asyncio.sleep(0)
        self._commit = None
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def one(self, statement: str, *values: Any) -> Row | None:
        row = self._db.execute(statement, values).fetchone()
        return dict(row) if row else None

    def all(self, statement: str, *values: Any) -> list[Row]:
        return [dict(row) for row in self._db.execute(statement, values)]

    def insert(self, table: str, **values: Any) -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self.change() as db:
            db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608

    def update(self, statement: str, *values: Any) -> None:
        with self.change() as db:
            db.execute(statement, values)

    def reset(self) -> None:
        with self.change() as db:
            for table in TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608
