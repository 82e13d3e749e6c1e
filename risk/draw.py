"""
The fair draw: who joined before the opening stands in an order that nobody could know, and anybody can check.

Before: the SHA-256 of a random seed is published, and everybody who joins gets the next number, 1 to n. At the opening
n is fixed, the seed is revealed, and number k stands at `place(k)`: a keyed permutation of 1..n that is computed for
one number at a time, so that nothing is sorted or stored. `risk/lua/room.lua` computes the same.
"""

from __future__ import annotations

import hashlib
import math
import secrets

ROUNDS = 8
WORD = 2**32


def new_seed() -> str:
    return secrets.token_hex(32)


def hash_of(seed: str) -> str:
    """What is published before the opening."""
    return hashlib.sha256(seed.encode()).hexdigest()


def keys_of(seed: str, n: int) -> list[int]:
    """The keys of the rounds. They depend on n, too, which nobody knew when the seed was chosen."""
    return [
        int(hashlib.sha1(f"{seed}:{n}:{i}".encode()).hexdigest()[:8], 16)  # noqa: S324 - spreads a secret seed
        for i in range(1, ROUNDS + 1)
    ]


def place(number: int, *, n: int, keys: list[int]) -> int:
    """
    Where number `number` of 1..n stands.

    A Feistel network on a rectangle of rows × columns ≥ n, walked until it lands inside. A round adds a keyed value of
    one half to the other half, modulo its size, and can be undone: so different numbers stand at different places.
    """
    if not 1 <= number <= n:
        raise ValueError(f"{number} is not from 1 to {n}")
    rows = max(1, math.isqrt(n))
    columns = (n + rows - 1) // rows
    at = number - 1
    while True:
        row, column = divmod(at, columns)
        for i in range(0, ROUNDS, 2):
            row = (row + _mixed(column, keys[i])) % rows
            column = (column + _mixed(row, keys[i + 1])) % columns
        at = row * columns + column
        if at < n:
            return at + 1


def _mixed(x: int, key: int) -> int:
    """The finaliser of MurmurHash3 over `x` and the key: each bit of the input turns about half of the output's."""
    h = (x ^ key) % WORD
    h = (h ^ (h >> 16)) * 2246822507 % WORD
    h = (h ^ (h >> 13)) * 3266489909 % WORD
    return h ^ (h >> 16)
