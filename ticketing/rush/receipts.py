"""
A receipt names a submission to its buyer: tier, order number and buyer, signed in the format of `risk.signing`, so that
the edge answers status polls and takes presses without a session. Who has it may see and pay that one order, no more.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from risk import signing
from risk.signing import NotOurs

PURPOSE = "rush-receipt"
WRITTEN = re.compile(r"v1\.([0-9]{1,15})~([0-9A-Z]{8,32})~([0-9]{1,15})\.([\w-]{27})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Receipt:
    tier_id: int
    order: str
    buyer_id: int


def sign(receipt: Receipt) -> str:
    body = f"{signing.VERSION}.{receipt.tier_id}~{receipt.order}~{receipt.buyer_id}"
    return f"{body}.{signing.mac(signing.key_of(PURPOSE), body)}"


def read(text: str) -> Receipt:
    """
    :raises risk.signing.NotOurs: we did not sign this receipt
    """
    found = WRITTEN(text)
    if found is None:
        raise NotOurs("malformed")
    tier_id, order, buyer_id, given = found.groups()
    body = text.rpartition(".")[0]
    if not any(hmac.compare_digest(signing.mac(key, body), given) for key in signing.keys_of(PURPOSE)):
        raise NotOurs("forged")
    return Receipt(int(tier_id), order, int(buyer_id))
