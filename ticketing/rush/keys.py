"""What the rush keeps in the fast store, per price tier. One hash tag a tier: a script never leaves its node."""

from __future__ import annotations


def tiers(show: str) -> str:
    """Hash: the ids of a show's tiers that have a drainer, by their codes; the edge knows no others."""
    return f"rush:{{show:{show}}}:tiers"


def limits(show: str) -> str:
    """Text: the limits that staff have set on the show's orders, as far as the edge can count them."""
    return f"rush:{{show:{show}}}:limits"


def sale(tier_id: int) -> str:
    """Hash: free, queued, limit, most, opens, closes; dirty when seats came back. Gone without a living drainer."""
    return f"rush:{{tier:{tier_id}}}:sale"


def orders(tier_id: int) -> str:
    """Stream of submissions that have no answer yet."""
    return f"rush:{{tier:{tier_id}}}:orders"


def presses(tier_id: int) -> str:
    """Stream of presses on Pay that have no answer yet."""
    return f"rush:{{tier:{tier_id}}}:presses"


def fence(tier_id: int) -> str:
    """The highest fence number that published here."""
    return f"rush:{{tier:{tier_id}}}:fence"


def client_key(tier_id: int, buyer_id: int, key: str) -> str:
    """The order number that this buyer's key got."""
    return f"rush:{{tier:{tier_id}}}:key:{buyer_id}:{key}"


def count(tier_id: int, buyer_id: int) -> str:
    """Seats that the buyer submitted for lately."""
    return f"rush:{{tier:{tier_id}}}:count:{buyer_id}"


def admission(tier_id: int, nonce: str) -> str:
    """The order number that burned this pass."""
    return f"rush:{{tier:{tier_id}}}:pass:{nonce}"


def result(tier_id: int, number: str) -> str:
    """What became of a submission, JSON."""
    return f"rush:{{tier:{tier_id}}}:order:{number}"


def payment(tier_id: int, number: str) -> str:
    """What became of the payment of an order, JSON."""
    return f"rush:{{tier:{tier_id}}}:payment:{number}"
