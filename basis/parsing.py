"""
How the API reads bodies: JSON, of a bounded size and depth, without characters that no answer could repeat.

Django bounds what it reads itself; a DRF parser reads the stream past that bound, so the bound is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils.json import strict_constant

from basis.problems import Problem

BODY_BYTES_MAX = 64 * 1024


class BoundedJSONParser(JSONParser):
    """Strict JSON in UTF-8: no NaN, no lone surrogates, at most `BODY_BYTES_MAX` bytes."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """
        The body's value.

        :raises Problem: `too_large`
        :raises ParseError: it is no JSON
        """
        raw = stream.read(BODY_BYTES_MAX + 1)
        if len(raw) > BODY_BYTES_MAX:
            raise Problem(code="too_large", detail=_("A body has at most %d bytes.") % BODY_BYTES_MAX)
        try:
            value = json.loads(raw.decode(), parse_constant=strict_constant)
            if b"\\u" in raw:
                # A lone surrogate is JSON, but no text: it can be neither stored nor repeated in an answer.
                json.dumps(value, ensure_ascii=False).encode()
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        except ValueError as error:
            raise ParseError(_("This is not JSON: %(why)s") % {"why": _reason(error)}) from None
        return value


def _reason(error: ValueError) -> str:
    """What is wrong and where, without repeating the body."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return type(error).__name__
