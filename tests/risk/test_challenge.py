"""The challenge: bound, short-lived, answered once, worth its work; and the script that browsers run."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from risk import challenge
from risk.challenge import ChallengeRefused, ask_puzzle, ask_work, holds, take_answer, work

SCRIPT = Path(__file__).resolve().parents[2] / "static" / "kaipiao" / "challenge.js"
NOW = timezone.now()
LIFE = timedelta(minutes=15)


def asked(difficulty=8, subject="a" * 24):
    return ask_work(subject=subject, purpose="order", difficulty=difficulty, now=NOW)


def take(token, answer, *, subject="a" * 24, now=NOW):
    return take_answer(token, answer, subject=subject, pass_life=LIFE, now=now)


def refused(*args, **kwargs) -> str:
    with pytest.raises(ChallengeRefused) as error:
        take(*args, **kwargs)
    return error.value.reason


def test_work_earns_a_pass_for_this_subject_and_purpose_until_it_ends():
    one = asked()
    earned = take(one.token, work(one.token, 8))
    assert holds(earned.text, subject="a" * 24, purpose="order", now=NOW)
    assert not holds(earned.text, subject="b" * 24, purpose="order", now=NOW)
    assert not holds(earned.text, subject="a" * 24, purpose="sign_in", now=NOW)
    assert not holds(earned.text, subject="a" * 24, purpose="order", now=NOW + LIFE)
    assert not holds(earned.text[:-2] + "AA", subject="a" * 24, purpose="order", now=NOW)


def test_a_challenge_is_answered_once_by_its_owner_and_in_time():
    one = asked()
    answer = work(one.token, 8)
    assert refused(one.token, answer, subject="b" * 24) == "foreign"
    assert refused(one.token, answer, now=NOW + timedelta(minutes=4)) == "expired"
    assert refused(one.token, "x") == "malformed"
    assert refused(one.token.replace("~8~", "~1~"), "0") == "forged"
    take(one.token, answer)
    assert refused(one.token, answer) == "used"


def test_a_wrong_number_earns_nothing_and_may_be_corrected():
    one = asked()
    answer = work(one.token, 8)
    wrong = next(str(n) for n in range(1000) if not challenge.work_done(one.token, str(n), 8))
    assert refused(one.token, wrong) == "wrong"
    assert take(one.token, answer).purpose == "order"


def test_the_puzzle_must_be_looked_at_and_counts_once_right_or_wrong():
    one, picture = ask_puzzle(subject="a" * 24, purpose="order", now=NOW)
    right = str(sum(dict(picture.rows)[picture.asked]))
    later = NOW + challenge.PUZZLE_WAIT
    assert refused(one.token, right) == "too_soon"
    assert take(one.token, right, now=later).purpose == "order"
    other, picture = ask_puzzle(subject="a" * 24, purpose="order", now=NOW)
    right = str(sum(dict(picture.rows)[picture.asked]))
    assert refused(other.token, str(int(right) + 1), now=later) == "wrong"
    assert refused(other.token, right, now=later) == "used"


def test_the_browser_finds_the_same_number_and_the_script_is_small():
    assert SCRIPT.stat().st_size < 3000
    node = shutil.which("node")
    if not node:
        if os.environ.get("KAIPIAO_REQUIRE_ALL"):
            pytest.fail("node is not installed")
        pytest.skip("node is not installed")
    one = asked(difficulty=12)
    program = f"import {{ solve }} from {str(SCRIPT)!r}; console.log(solve({one.token!r}, 12));"
    ran = subprocess.run(
        [node, "--input-type=module", "-e", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.strip() == work(one.token, 12), ran.stderr
