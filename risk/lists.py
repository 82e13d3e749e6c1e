"""
The allow and deny lists, matched in memory: a few dictionary look-ups a request, no query.

An entry names a person (buyer, document, card) or a place (address, network, device). A denied person is refused; an
allowed person passes, also from a denied place, because places are shared; then denied places, then allowed ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from basis import addresses
from basis.sealed import blind_index
from risk.features import Features
from risk.models import SEALED_SUBJECTS, ListEntry, ListKind, Subject

PERSON = (Subject.BUYER, Subject.DOCUMENT, Subject.CARD)
PLACE = (Subject.ADDRESS, Subject.NETWORK, Subject.DEVICE)


class BadValue(ValueError):
    """The text is no buyer's id, address or network."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The entry that matched."""

    kind: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Held:
    reason: str
    expires_at: datetime | None

    def holds(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now


@dataclass(slots=True)
class Lists:
    """All entries, by kind and subject. Networks are grouped by length, so one costs one look-up per length in use."""

    held: dict[tuple[str, str], dict[Any, _Held]] = field(default_factory=dict)
    lengths: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # kind: (version, prefix length)

    def find(self, features: Features, *, now: datetime) -> Listed | None:
        """The entry that decides about this request, if there is one."""
        if not self.held:
            return None
        for kind, subjects in (
            (ListKind.DENY, PERSON),
            (ListKind.ALLOW, PERSON),
            (ListKind.DENY, PLACE),
            (ListKind.ALLOW, PLACE),
        ):
            for subject in subjects:
                found = self._held(kind, subject, features)
                if found is not None and found.holds(now):
                    return Listed(kind, subject, found.reason)
        return None

    def denies_buyer(self, buyer_id: int, *, now: datetime) -> bool:
        """Whether this buyer is denied, whatever else is known of a request: nothing outranks that."""
        held = self.held.get((ListKind.DENY, Subject.BUYER), {}).get(buyer_id)
        return held is not None and held.holds(now)

    def _held(self, kind: str, subject: str, features: Features) -> _Held | None:
        held = self.held.get((kind, subject))
        if not held:
            return None
        if subject == Subject.NETWORK:
            return self._network(kind, held, features.address)
        if subject == Subject.DEVICE:
            known = (held[one] for one in (features.device, *features.device_before) if one in held)
            return next(known, None)
        value = {
            Subject.BUYER: features.buyer_id,
            Subject.ADDRESS: features.address,
            Subject.CARD: features.card,
            Subject.DOCUMENT: features.document,
        }[Subject(subject)]
        return held.get(value) if value else None

    def _network(self, kind: str, held: dict[Any, _Held], address: str) -> _Held | None:
        try:
            one = ipaddress.ip_address(address)
        except ValueError:
            return None
        whole = int(one)
        for version, length in self.lengths[kind]:
            if version == one.version:
                found = held.get((version, length, whole >> (one.max_prefixlen - length)))
                if found is not None:
                    return found
        return None


def built(entries: Iterable[ListEntry]) -> Lists:
    """The lists as they are matched. Expired entries may be among them; they stop matching by themselves."""
    lists = Lists()
    lengths: dict[str, set[tuple[int, int]]] = {}
    for entry in entries:
        held = lists.held.setdefault((entry.kind, entry.subject), {})
        key: Any = entry.value
        if entry.subject == Subject.BUYER:
            key = int(entry.value)
        elif entry.subject == Subject.NETWORK:
            network = ipaddress.ip_network(entry.value)
            length = network.prefixlen
            key = (network.version, length, int(network.network_address) >> (network.max_prefixlen - length))
            lengths.setdefault(entry.kind, set()).add((network.version, length))
        held[key] = _Held(entry.reason, entry.expires_at)
    lists.lengths = {kind: sorted(found, key=lambda one: -one[1]) for kind, found in lengths.items()}
    return lists


def stored(subject: str, text: str) -> tuple[str, str]:
    """
    How a value is stored, and the hint that staff recognise it by: normal form, or a blind index where it is secret.

    :raises BadValue: see there
    """
    text = text.strip()
    try:
        match subject:
            case Subject.BUYER:
                return str(int(text)), ""
            case Subject.ADDRESS:
                return addresses.spelled(str(ipaddress.ip_address(text))), ""
            case Subject.NETWORK:
                return str(ipaddress.ip_network(text, strict=False)), ""
    except ValueError:
        raise BadValue(text) from None
    if subject not in SEALED_SUBJECTS or len(text) < 4:
        raise BadValue(text)
    return blind_index(text, f"list:{subject}"), f"…{text[-4:]}"
