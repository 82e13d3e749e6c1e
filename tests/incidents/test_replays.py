"""`manage.py incidents` at a whole stack: every incident right, told as one object each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FACTS = {
    1: {"server_errors": 0, "unclear_answers": 0},
    2: {"answers_that_differ": 0, "presses_not_answered_with_the_payment": 0, "wallet_after_fen": 152_000},
    3: {"right_seeds": 2},
    4: {"notifies_that_arrived": 0, "states_that_were_a_guess": 0},
    5: {"payments_that_won": 2},
}


@pytest.mark.stack
def test_every_incident_comes_out_right_over_http():
    # The tests' own Redis and database are not the drill's.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "incidents", "--json", "--seeds", "2"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert [incident["id"] for incident in told] == [1, 2, 3, 4, 5]
    assert all(set(incident) == {"id", "name", "right", "facts"} for incident in told)
    assert all(incident["right"] for incident in told)
    for incident in told:
        expected = FACTS[incident["id"]]
        assert {name: incident["facts"][name] for name in expected} == expected
    # The heavy seeds are among them: a thousand presses each.
    assert told[0]["facts"]["presses"] == 1080
    assert told[0]["facts"]["trades_at_the_channel"] == 3
    assert told[1]["facts"]["deductions"] == 3
