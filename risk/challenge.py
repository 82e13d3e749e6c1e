"""
The challenge: work or a puzzle that a doubtful request does before it is let in. Needs no outside service.

*Work* costs a script as much as a person's browser: find a number whose SHA-256 with the challenge begins with
`difficulty` zero bits. The *puzzle* is for pages without JavaScript: count the free seats of a row. It costs a script
little, so it must be looked at for `PUZZLE_WAIT` first and a wrong answer uses it up. Neither proves a human: both set
a price on each try.

A challenge is signed for one buyer (or device, or address) and one purpose, ends soon and is answered once. The answer
earns a pass, signed like it, that the gate takes instead of the next challenges for a while.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from basis import fast
from risk import signing
from risk.features import Features

LIFE = timedelta(minutes=3)
PUZZLE_WAIT = timedelta(seconds=3)
WORK, PUZZLE = "work", "puzzle"
CHALLENGE_KEY, PASS_KEY, ANSWER_KEY = "challenge", "challenge-pass", "challenge-answer"
FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII).fullmatch
ANSWER = re.compile(r"[0-9]{1,16}", re.ASCII).fullmatch
TEXT_MAX = 400
ROWS, SEATS = ("A", "B", "C"), 8


class ChallengeRefused(Exception):
    """`reason`: `malformed`, `forged`, `foreign`, `expired`, `too_soon`, `wrong` or `used`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Challenge:
    """What is asked. `token` is the whole of it, signed; the work is done over its text."""

    kind: str
    purpose: str
    difficulty: int
    expires_at: datetime
    token: str


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Rows of seats, True for free, and the row whose free seats are to be counted."""

    rows: list[tuple[str, list[bool]]]
    asked: str


@dataclass(frozen=True, slots=True)
class Earned:
    """A pass for `purpose` until `expires_at`."""

    text: str
    purpose: str
    expires_at: datetime


def subject_of(features: Features) -> str:
    """Whom challenges and passes are bound to: the buyer, else the device, else address and agent."""
    who = (
        f"buyer:{features.buyer_id}"
        if features.buyer_id is not None
        else f"device:{features.device}"
        if features.device
        else f"address:{features.address}:{features.agent}"
    )
    return hashlib.sha256(who.encode()).hexdigest()[:24]


def ask_work(*, subject: str, purpose: str, difficulty: int, now: datetime) -> Challenge:
    """A proof of work of about 2 ** `difficulty` hashes."""
    return _asked(WORK, subject, purpose, difficulty, now, "0")


def ask_puzzle(*, subject: str, purpose: str, now: datetime) -> tuple[Challenge, Puzzle]:
    """A puzzle for eyes and screen readers alike."""
    chance = secrets.SystemRandom()
    rows = [(label, [chance.random() < 0.5 for _seat in range(SEATS)]) for label in ROWS]
    asked, seats = chance.choice(rows)
    return _asked(PUZZLE, subject, purpose, 0, now, str(sum(seats))), Puzzle(rows, asked)


def _asked(  # noqa: PLR0917  # what is signed, in the order in which it is signed
    kind: str, subject: str, purpose: str, difficulty: int, now: datetime, answer: str
) -> Challenge:
    nonce = secrets.token_hex(8)
    issued = int(now.timestamp())
    token = _signed(
        CHALLENGE_KEY, kind, subject, purpose, difficulty, issued, nonce, _answer_mark(nonce, answer)
    )
    return Challenge(kind, purpose, difficulty, now + LIFE, token)


def take_answer(token: str, answer: str, *, subject: str, pass_life: timedelta, now: datetime) -> Earned:
    """
    Check an answer and give the pass that it earns. A challenge counts once, right or wrong (a wrong number for the
    work may be corrected: guessing costs nothing there that the work does not).

    :raises ChallengeRefused: see there
    """
    if not ANSWER(answer):
        raise ChallengeRefused("malformed")
    kind, bound_to, purpose, difficulty, issued, nonce, mark = _fields(CHALLENGE_KEY, token, 7)
    age = now.timestamp() - int(issued)
    if bound_to != subject:
        raise ChallengeRefused("foreign")
    if age > LIFE.total_seconds():
        raise ChallengeRefused("expired")
    if kind == PUZZLE and age < PUZZLE_WAIT.total_seconds():
        raise ChallengeRefused("too_soon")
    if kind == WORK and not work_done(token, answer, int(difficulty)):
        raise ChallengeRefused("wrong")
    _use_up(nonce)
    if kind == PUZZLE and not hmac.compare_digest(mark, _answer_mark(nonce, answer)):
        raise ChallengeRefused("wrong")
    expires_at = now + pass_life
    text = _signed(PASS_KEY, subject, purpose, int(expires_at.timestamp()))
    return Earned(text, purpose, expires_at)


def holds(text: str, *, subject: str, purpose: str, now: datetime) -> bool:
    """Whether `text` is a pass for this subject and purpose."""
    try:
        bound_to, wanted, expires_s = _fields(PASS_KEY, text, 3)
    except ChallengeRefused:
        return False
    return bound_to == subject and wanted == purpose and int(expires_s) > now.timestamp()


def work_done(token: str, answer: str, difficulty: int) -> bool:
    """Whether SHA-256("<token>.<answer>") begins with `difficulty` zero bits."""
    digest = hashlib.sha256(f"{token}.{answer}".encode()).digest()
    return int.from_bytes(digest, "big") >> (256 - difficulty) == 0


def work(token: str, difficulty: int) -> str:
    """Do the work, as clients in Python and the tests do."""
    number = 0
    while not work_done(token, str(number), difficulty):
        number += 1
    return str(number)


def _use_up(nonce: str) -> None:
    try:
        first = fast.store().set(f"challenge:{{{nonce}}}", 1, nx=True, ex=int(LIFE.total_seconds()) + 60)
    except fast.FastStoreAway:
        return  # For these minutes one answer may earn several passes, all for the same buyer.
    if not first:
        raise ChallengeRefused("used")


def _answer_mark(nonce: str, answer: str) -> str:
    return signing.mac(signing.key_of(ANSWER_KEY), f"{nonce}.{answer}")


def _signed(purpose: str, *fields: str | int) -> str:
    body = f"v1.{'~'.join(map(str, fields))}"
    return f"{body}.{signing.mac(signing.key_of(purpose), body)}"


def _fields(purpose: str, text: str, count: int) -> list[str]:
    body, _dot, given = text.rpartition(".")
    version, _dot, payload = body.partition(".")
    fields = payload.split("~")
    sane = len(text) <= TEXT_MAX and text.isascii() and version == "v1" and len(fields) == count
    if not sane or not all(FIELD(field) for field in fields):
        raise ChallengeRefused("malformed")
    if not any(hmac.compare_digest(signing.mac(key, body), given) for key in signing.keys_of(purpose)):
        raise ChallengeRefused("forged")
    return fields
