"""
The log: one constant event name per fact, ids beside it, the request's id on every line, no secret and no
person.

    log = get_logger(__name__)
    log.info("payment.paid", payment=payment.number)

Lines are JSON when standard error is not a terminal or `KAIPIAO_LOG_FORMAT=json`, else coloured text.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")

MASKED = "[masked]"
# A key that contains one of these hides its whole value. `sign` must be a word of its own: `assigned` is
# harmless.
SECRET_KEYS = re.compile(
    r"passw|token|secret|authorization|cookie|private|api\w*key|signature|(?:^|_)sign(?:$|_)|phone|mobile|e_?mail"
    r"|card_?n|id_?card|credential",
    re.IGNORECASE,
)
# Digits and letters on either side mean an order number or a hash, not a telephone.
PHONES = re.compile(r"(?<![0-9A-Za-z])(?:\+?86[- ]?)?1[3-9]\d{9}(?![0-9A-Za-z])")
EMAILS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
# Bank cards (their last digit checks the others) and resident identity numbers.
CARDS = re.compile(r"(?<![0-9A-Za-z])\d(?:[ -]?\d){14,18}(?![0-9A-Za-z])")
IDENTITIES = re.compile(
    r"(?<![0-9A-Za-z])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9Xx](?![0-9A-Za-z])"
)
BEARERS = re.compile(r"\bkp_[A-Za-z0-9_-]{20,}|\bBearer\s+\S+", re.IGNORECASE)
DEPTH_MAX = 6


def get_logger(name: str) -> Any:
    return structlog.stdlib.get_logger(name)


def request_id() -> str:
    """The id of the request (or task) being served in this context; empty outside of one."""
    return REQUEST_ID.get()


def formatter() -> logging.Formatter:
    """
    The formatter that `settings.LOGGING` names; it also sets structlog up, for Django's own lines and ours.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        add_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_endings())


def _endings() -> list[Any]:
    """
    What every line passes last. Masking comes after the traceback became text, so that it is masked too.
    """
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
        mask,
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if wants_json()
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


def wants_json() -> bool:
    chosen = os.environ.get("KAIPIAO_LOG_FORMAT", "")
    return chosen == "json" or (chosen != "console" and not sys.stderr.isatty())


def add_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    current = REQUEST_ID.get()
    if current:
        event.setdefault("request_id", current)
    return event


def mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide secrets and personal data: by the key's name, and by what the text looks like."""
    for key, value in event.items():
        event[key] = MASKED if SECRET_KEYS.search(key) else _masked(value, DEPTH_MAX)
    return event


def _masked(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return masked_text(value)
    if depth == 0:
        return MASKED
    if isinstance(value, dict):
        return {
            key: MASKED if SECRET_KEYS.search(str(key)) else _masked(inner, depth - 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set):
        return [_masked(inner, depth - 1) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    # Anything else would be printed by its repr, which nobody has checked for personal data.
    return masked_text(str(value))


def masked_text(text: str) -> str:
    """`text` without telephone, card and identity numbers, e-mail addresses and bearer tokens."""
    text = BEARERS.sub(MASKED, text)
    text = IDENTITIES.sub(MASKED, PHONES.sub(MASKED, text))
    text = CARDS.sub(_card_masked, text)
    return EMAILS.sub(MASKED, text) if "@" in text else text


def _card_masked(found: re.Match[str]) -> str:
    return MASKED if _is_card(found[0]) else found[0]


def _is_card(text: str) -> bool:
    """By the check digit of ISO/IEC 7812 (Luhn): a long number of ours is taken for a card one time in ten."""
    digits = [int(one) for one in text if one.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
