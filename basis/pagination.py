"""
Lists of the API: newest first, by cursor, so that a list that grows at its head neither repeats nor skips.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from basis.problems import Problem

LIMIT_MAX = 200


class NewestFirst(CursorPagination):
    """
    `{"items": [...], "next": url | null, "previous": url | null}`; `?limit=1..200`, `?cursor=` is opaque.
    """

    ordering = "-id"
    page_size_query_param = "limit"
    max_page_size = LIMIT_MAX

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, TypeError, DjangoValidationError) as error:
            # The cursor decoded, but what it holds is no position in this list.
            raise bad_cursor() from error

    def decode_cursor(self, request: Request) -> Any:
        try:
            return super().decode_cursor(request)
        except NotFound as error:
            raise bad_cursor() from error

    def get_page_size(self, request: Request) -> int | None:
        given = request.query_params.get("limit")
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= LIMIT_MAX):
            raise bad_limit()
        return int(given)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"items": data, "next": self.get_next_link(), "previous": self.get_previous_link()})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["items", "next", "previous"],
            "properties": {"items": schema, "next": link, "previous": link},
        }


def newest_first(rows: Any, serializer: type[BaseSerializer[Any]], request: Request) -> Response:
    """The page of `rows` that was asked for, each as `serializer` shows it."""
    pages = NewestFirst()
    page = pages.paginate_queryset(rows, request)
    return pages.get_paginated_response(serializer(page, many=True).data)


def bad_cursor() -> Problem:
    detail = _("The cursor is not one of this list. Start again without it.")
    return Problem(code="invalid", errors=[{"pointer": "/cursor", "code": "bad_cursor", "detail": detail}])


def bad_limit() -> Problem:
    detail = _("Ask for 1 to %(most)d items.") % {"most": LIMIT_MAX}
    return Problem(code="invalid", errors=[{"pointer": "/limit", "code": "bad_limit", "detail": detail}])
