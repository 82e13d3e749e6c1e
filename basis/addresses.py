"""
What an address says: the one spelling of it that lists and counters know, and how much of it one customer has.

`deploy/nginx/lua/address.lua` says the same, for the edge counts in the same counters.
"""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest

LONGEST = 45


def of(request: HttpRequest) -> str:
    """The client's address. Behind the edge it is what the edge says, which nobody before it can set."""
    told = request.headers.get("X-Real-IP", "") if settings.BEHIND_PROXY else ""
    return spelled(told or str(request.META.get("REMOTE_ADDR", "")))


def spelled(text: str) -> str:
    """The address in normal form, an IPv4 address in IPv6 as itself; what is no address as it came, shortened."""
    try:
        one = ipaddress.ip_address(text)
    except ValueError:
        return text[:LONGEST]
    if isinstance(one, ipaddress.IPv6Address):
        return str(one.ipv4_mapped or one)[:LONGEST]
    return text  # an IPv4 address has one spelling only


def customer(address: str) -> str:
    """Whom to count: an IPv4 address; of IPv6 the first half, for each customer has a whole /64 to change about in."""
    if ":" not in address:
        return address
    try:
        whole = int(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    return ":".join(f"{whole >> shift & 0xFFFF:x}" for shift in (112, 96, 80, 64))
