"""
The channel sandbox for crash tests: `python -m tests.crash.sandbox PORT STATE KEYS PLAN`.

A parent that has loaded it and a fork that serves; a fork that dies is followed by a fresh one, on the same books.
Boundaries: before and after every commit of the books, before and after every notification on the wire.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from operations import leash
from payments.sandbox import keys
from payments.sandbox.books import Books
from payments.sandbox.notifier import Notifier
from payments.sandbox.serve import run
from tests.crash.plan import Plan

TIME_FACTOR = 4000.0


def watch(plan: Plan) -> None:
    commit_together, post = Books._commit_together, Notifier.post

    async def watched_commit(self: Books) -> None:
        plan.boundary("sandbox", "before commit")
        await commit_together(self)
        plan.boundary("sandbox", "after commit")

    async def watched_post(self: Notifier, *arguments: Any) -> Any:
        plan.boundary("sandbox", "before notify")
        answer = await post(self, *arguments)
        plan.boundary("sandbox", "after notify")
        return answer

    Books._commit_together, Notifier.post = watched_commit, watched_post


def keep_serving(port: int, state: Path, key_dir: Path, plan: Plan) -> None:
    leash.prctl(leash.PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives the test
    keys.make(key_dir)
    while True:
        child = os.fork()
        if child == 0:
            leash.prctl(leash.PR_SET_PDEATHSIG, signal.SIGKILL)
            watch(plan)
            code = run(host="127.0.0.1", port=port, state=state, key_dir=key_dir, time_factor=TIME_FACTOR)
            os._exit(code)
        signal.signal(signal.SIGTERM, lambda *_, child=child: (os.kill(child, signal.SIGKILL), os._exit(0)))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    keep_serving(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), Plan(Path(sys.argv[4])))
