"""Telephone numbers and e-mail addresses in the one form in which they are stored and compared."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

MAINLAND_PHONE = re.compile(r"1[3-9]\d{9}", re.ASCII)
FOREIGN_PHONE = re.compile(r"\+[1-9]\d{7,14}", re.ASCII)
FILLERS = str.maketrans("", "", " -\u00a0()")
EMAIL_LENGTH_MAX = 254


def normal_phone(text: str) -> str:
    """
    `+86 138-1234-5678` -> `13812345678`; other countries keep their `+` and prefix.

    :raises ValidationError: this is no telephone number
    """
    phone = text.translate(FILLERS)
    for prefix in ("+86", "0086"):
        if phone.startswith(prefix):
            phone = phone.removeprefix(prefix)
            break
    if MAINLAND_PHONE.fullmatch(phone) or (FOREIGN_PHONE.fullmatch(phone) and not phone.startswith("+86")):
        return phone
    raise ValidationError(_("Enter a mobile number, such as 13812345678."), code="bad_phone")


def normal_email(text: str) -> str:
    """
    Without white space around it, in lower case.

    :raises ValidationError: this is no e-mail address
    """
    email = text.strip().lower()
    if len(email) > EMAIL_LENGTH_MAX:
        raise ValidationError(_("Enter a valid e-mail address."), code="bad_email")
    validate_email(email)
    return email
