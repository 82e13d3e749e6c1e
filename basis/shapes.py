"""
The shapes that every app's API shares: strict input, money, times, pages.

Input is strict: a number is no string, a truth is no `1`, and a member that an operation does not know is named
instead of ignored, because an ignored wish of a buyer is found out too late.
"""

from __future__ import annotations

from datetime import UTC
from functools import cache
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema_field, inline_serializer
from rest_framework import serializers

from basis.pagination import LIMIT_MAX

ID_MAX = 2**63 - 1

# Problem codes for `problem_responses`: of everything that needs a buyer, and of everything that is `@idempotent`.
SIGNED_IN = ("not_authenticated", "bad_token", "scope_missing")
KEYED = (
    "malformed",
    "invalid",
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "idempotency_in_flight",
    "too_large",
    "unsupported_media_type",
    "idempotency_key_reused",
)


# -- serializers that are made once
# ---------------------------------------------------------------------------------
@cache
def _made(serializer: type[serializers.Serializer[Any]], **context: Any) -> serializers.Serializer[Any]:
    return serializer(context=context)


def shown(serializer: type[serializers.Serializer[Any]], thing: Any, **context: Any) -> Any:
    """`serializer(thing, context=context).data`, without making its fields anew for every answer."""
    return _made(serializer, **context).to_representation(thing)


def taken_in(serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """
    What `serializer` makes of a body, without making its fields anew for every request.

    :raises rest_framework.serializers.ValidationError: as `is_valid(raise_exception=True)`
    """
    values: dict[str, Any] = _made(serializer).run_validation(data)
    return values


# -- input
# ----------------------------------------------------------------------------------------------------------
class StrictInput(serializers.Serializer[Any]):
    """A body of which every member is known."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(map(str, data)) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(self.fields)
            error = serializers.ErrorDetail(
                _("There is no such member here; known are: %(known)s.") % {"known": known},
                code="unknown_member",
            )
            raise serializers.ValidationError({name: [error] for name in unknown[:20]})
        return super().to_internal_value(data)


class StrictInputSchema(OpenApiSerializerExtension):
    """Says the strictness in the API description."""

    target_class = "basis.shapes.StrictInput"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}


class StrictInteger(serializers.IntegerField):
    """A JSON integer; neither `"3"` nor `3.0` nor `true`."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictText(serializers.CharField):
    """A JSON string; never a number made into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictTruth(serializers.BooleanField):
    """`true` or `false`; neither `"yes"` nor `1`."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictChoice(serializers.ChoiceField):
    """One of the listed strings. The answer does not repeat what was sent."""

    default_error_messages = {"invalid_choice": _("Choose one of: %(choices)s.")}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            choices = ", ".join(map(str, self.choices))
            message = self.error_messages["invalid_choice"] % {"choices": choices}
            raise serializers.ValidationError(message, code="invalid_choice")
        return data


# -- output
# ---------------------------------------------------------------------------------------------------------
class UtcField(serializers.DateTimeField):
    """RFC 3339 in UTC, whatever the server's time zone: `2026-11-20T04:00:00.123456Z`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)


class MoneySerializer(serializers.Serializer[Any]):
    """An exact amount in the currency's smallest unit (CNY: fen)."""

    amount = serializers.IntegerField()
    currency = serializers.CharField(max_length=3)


def money(minor: int, currency: str) -> dict[str, Any]:
    return {"amount": minor, "currency": currency}


@extend_schema_field(MoneySerializer)
class MoneyField(serializers.Field[Any, Any, Any, Any]):
    """The money in a thing's column `minor` and its column `currency`."""

    def __init__(self, minor: str = "amount_minor", **kwargs: Any) -> None:
        self.minor = minor
        super().__init__(source="*", read_only=True, **kwargs)

    def to_representation(self, value: Any) -> dict[str, Any]:
        return money(getattr(value, self.minor), value.currency)


PAGE_PARAMETERS = [
    OpenApiParameter("cursor", str, description="From `next` or `previous` of an earlier page; opaque."),
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
        description="Items a page; 50 unless told.",
    ),
]


def page_of(name: str, items: Any) -> serializers.Serializer[Any]:
    """The description of a page of `items`."""
    return inline_serializer(
        name,
        {
            "items": items(many=True),
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
        },
    )
