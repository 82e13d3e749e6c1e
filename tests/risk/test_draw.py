"""The draw: a permutation that anybody can check, the same in Python, in the fast store and at the edge."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk import draw
from tests.needs import needed

LUA = Path(draw.__file__).parent / "lua" / "room.lua"

seeds = st.text("0123456789abcdef", min_size=64, max_size=64)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, n=st.integers(1, 3000))
def test_everybody_stands_at_a_place_of_his_own(seed: str, n: int) -> None:
    keys = draw.keys_of(seed, n)
    assert sorted(draw.place(number, n=n, keys=keys) for number in range(1, n + 1)) == list(range(1, n + 1))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 16, 1000, 65_535, 65_536, 100_003])
def test_it_is_a_bijection_at_awkward_sizes(n: int) -> None:
    keys = draw.keys_of("a" * 64, n)
    assert len({draw.place(number, n=n, keys=keys) for number in range(1, n + 1)}) == n


def test_nobody_is_favoured() -> None:
    """Over many seeds the first to join stands in every tenth of the line about equally often, and so does the last."""
    n, tries = 1000, 4000
    for number in (1, 2, 500, 1000):
        tenths: Counter[int] = Counter()
        for i in range(tries):
            seed = hashlib.sha256(f"{number}/{i}".encode()).hexdigest()
            tenths[(draw.place(number, n=n, keys=draw.keys_of(seed, n)) - 1) // 100] += 1
        expected = tries / 10
        chi_square = sum((tenths[tenth] - expected) ** 2 / expected for tenth in range(10))
        assert chi_square < 33.7, (number, tenths)  # 9 degrees of freedom, one in 10,000


def test_neighbours_do_not_stay_neighbours() -> None:
    n = 5000
    keys = draw.keys_of("5" * 64, n)
    places = [draw.place(number, n=n, keys=keys) for number in range(1, n + 1)]
    near = sum(abs(a - b) <= 10 for a, b in itertools.pairwise(places))
    assert near < 3 * n * 20 / n


def test_the_order_depends_on_how_many_came() -> None:
    seed = "c" * 64
    assert draw.keys_of(seed, 100) != draw.keys_of(seed, 101)


def test_the_published_hash_is_the_seeds() -> None:
    seed = draw.new_seed()
    assert draw.hash_of(seed) == hashlib.sha256(seed.encode()).hexdigest()


@pytest.mark.parametrize("n", [1, 2, 7, 1000, 1_880_000, 4_000_000_000])
def test_lua_says_the_same(n: int) -> None:
    """The edge's LuaJIT computes what Python computes, for the same numbers."""
    luajit = shutil.which("luajit") or needed("luajit", "the draw is compared with the edge's")
    keys = draw.keys_of("b" * 64, n)
    numbers = sorted({1, n, *(1 + (i * 2_654_435_761) % n for i in range(200))})
    program = (
        f"local room = dofile('{LUA}')\n"
        f"for _, number in ipairs({{{','.join(map(str, numbers))}}}) do\n"
        f"  print(string.format('%.0f', room.permuted(number, {n}, {{{','.join(map(str, keys))}}})))\n"
        "end"
    )
    told = subprocess.run([luajit, "-"], input=program, capture_output=True, text=True, check=True).stdout
    assert [int(line) for line in told.split()] == [draw.place(number, n=n, keys=keys) for number in numbers]
