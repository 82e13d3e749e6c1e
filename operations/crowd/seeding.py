"""
Buyers in bulk, with money and an API token each, and a show for them: what exists before a sale opens.

Nobody hashes a password at opening time. A password hash is made slow on purpose (Argon2, some 50 ms of a core), and
who buys at the opening signed in long before it; his app holds a token, whose digest is found by one indexed query.
5,000 passwords here would measure Argon2, not a sale. So the buyers have unusable passwords and tokens issued in bulk.

`python -m operations.crowd.seeding WISH.json` does it in the database that the environment names, and writes what it
made over the wish's `answer` path: the caller may itself be connected to another database, or to none.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SCOPES = (
    *("orders:read", "orders:write", "payments:read", "payments:write"),
    *("wallet:read", "wallet:write", "tickets:read"),
)
TOKEN_LIFE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Wish:
    """`cash_minor[i]` fen go into the wallet of the buyer at place i; `rows_per_section` makes a smaller hall."""

    show: str
    prefix: str
    cash_minor: list[int]
    answer: str
    rows_per_section: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """The show's sections by tier (best first), and the buyers' tokens in the order of the wish."""

    show: str
    sections: dict[str, list[str]]
    tokens: list[str]


def make(wish: Wish, *, now: datetime) -> Made:
    """Make show and buyers. A show that exists is used as it is; the buyers must be new."""
    from accounts.models import User
    from accounts.tokens import issue_tokens_in_bulk
    from operations import seeding

    show = seeding.seed_show(code=wish.show, now=now, rows_per_section=wish.rows_per_section)
    ids = seeding.seed_buyers(len(wish.cash_minor), now=now, prefix=wish.prefix)
    for cash in sorted({cash for cash in wish.cash_minor if cash}):
        rich = [key for key, has in zip(ids, wish.cash_minor, strict=True) if has == cash]
        seeding.open_wallets(rich, cash, now=now)
    by_id = User.objects.in_bulk(ids)
    tokens = issue_tokens_in_bulk(
        [by_id[key] for key in ids], SCOPES, now, name="drill", expires_at=now + TOKEN_LIFE
    )
    return Made(show=show.code, sections=_sections(show.pk), tokens=tokens)


def _sections(show_id: int) -> dict[str, list[str]]:
    from ticketing.models import Seat

    places = (
        Seat.objects.filter(show_id=show_id)
        .order_by("tier__rank", "row__section__position")
        .values_list("tier__rank", "row__section__position", "tier__code", "row__section__code")
        .distinct()
    )
    found: dict[str, list[str]] = {}
    for _, _, tier, section in places:
        found.setdefault(tier, []).append(section)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m operations.crowd.seeding", description=__doc__)
    parser.add_argument("wish", type=Path)
    wish = Wish(**json.loads(parser.parse_args().wish.read_text()))

    import django

    django.setup()
    answer = Path(wish.answer)
    answer.touch(mode=0o600)
    answer.write_text(json.dumps(asdict(make(wish, now=datetime.now(UTC)))))


if __name__ == "__main__":
    main()
