"""How often a buyer, an address and a device came: sliding counters in the fast store, one atomic call a request."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from basis import fast
from basis.scripts import Script
from risk.features import Features, Rates
from risk.rules import WINDOWS_S

COUNT = Script(Path(__file__).parent / "lua" / "count.lua")
HOUR_S = 3600


def count(features: Features, *, now: datetime) -> Rates:
    """Count this request and say how many there were. With the store away nothing was counted: all zero."""
    who = [
        (kind, value)
        for kind, value in (
            ("buyer", str(features.buyer_id or "")),
            ("address", features.customer),
            ("device", features.device[:24]),
        )
        if value
    ]
    # One tag for all: a request is counted under keys of several people, and one script may not mix slots.
    tag = f"{{count:{features.purpose}}}"
    pairs = _pairs(dict(who))
    hour = int(now.timestamp()) // HOUR_S
    keys = [f"{tag}:{kind}:{value}" for kind, value in who]
    for name, owner, _member in pairs:
        keys += [f"{tag}:{name}:{owner}:{hour}", f"{tag}:{name}:{owner}:{hour - 1}"]
    args: list[str | int | float | bytes] = [
        len(who),
        len(WINDOWS_S),
        *WINDOWS_S,
        *(member for _name, _owner, member in pairs),
    ]
    try:
        found = COUNT.run(keys=keys, args=args) if keys else []
    except fast.FastStoreAway:
        return Rates()
    steps = iter(found)
    counts = {(kind, window): int(next(steps)) for kind, _value in who for window in WINDOWS_S}
    return Rates(counts, **{name: int(next(steps)) for name, _owner, _member in pairs})


def _pairs(who: dict[str, str]) -> list[tuple[str, str, str]]:
    """(what is counted, for whom, who is added): different ones are counted, within 1 %."""
    wanted = [
        ("buyers_on_device", "device", "buyer"),
        ("buyers_on_address", "address", "buyer"),
        ("addresses_of_buyer", "buyer", "address"),
    ]
    return [
        (name, who[owner], who[member]) for name, owner, member in wanted if owner in who and member in who
    ]
