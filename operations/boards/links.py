"""Where a figure's rows are: the staff's lists with the filters that make the same selection."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse


def rows(name: str, **query: Any) -> str:
    """The list `name` ("payments_payment") with these filters; empty if there is no such list."""
    try:
        address = reverse(f"admin:{name}_changelist", query=_shown(query))
    except NoReverseMatch:
        return ""
    return address


def one(name: str, key: Any) -> str:
    """One thing's own page."""
    try:
        return reverse(f"admin:{name}_change", args=[key])
    except NoReverseMatch:
        return ""


def _shown(query: dict[str, Any]) -> dict[str, str]:
    return {
        key: value.isoformat() if hasattr(value, "isoformat") else str(value) for key, value in query.items()
    }
