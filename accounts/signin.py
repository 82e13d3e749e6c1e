"""
Signing up and signing in, with a telephone number, an e-mail address or (staff) a handle, and a password.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.password_validation import UserAttributeSimilarityValidator, validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.contacts import normal_email, normal_phone
from accounts.models import Language, User
from basis.sealed import blind_indexes

# Django's default list does not know our fields: a telephone number would pass as its owner's password.
NOT_LIKE_ME = UserAttributeSimilarityValidator(user_attributes=("handle", "name", "phone", "email"))


class PhoneOrEmailBackend(ModelBackend):
    """
    One query finds the user by whichever of the three was typed.

    An unknown user costs as much time as a wrong password, so the clock tells nobody who has an account.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        identifier = username or kwargs.get(User.USERNAME_FIELD)
        if not identifier or password is None:
            return None
        user = User.objects.filter(named(identifier)).first()
        if user is None:
            User().set_password(password)
            return None
        return user if user.check_password(password) and self.user_can_authenticate(user) else None


def named(identifier: str) -> Q:
    """Which column `identifier` belongs to, by its form; handles begin with a letter and contain no @."""
    try:
        if "@" in identifier:
            return Q(email_index__in=blind_indexes(normal_email(identifier), "email"))
        if not identifier[:1].isalpha():
            return Q(phone_index__in=blind_indexes(normal_phone(identifier), "phone"))
    except ValidationError:
        pass
    # NUL is the one character that Postgres refuses in a text; without it no name can match, which is the
    # answer.
    return Q(handle=identifier.strip().lower().replace("\0", "?"))


def identity(identifier: str) -> str:
    """One text for all the ways to write the same name, so that tries can be counted by it."""
    for form in (normal_email, normal_phone):
        try:
            return form(identifier)
        except ValidationError:
            pass
    return identifier.strip().lower()


def register(
    *,
    password: str,
    now: datetime,
    phone: str | None = None,
    email: str | None = None,
    name: str = "",
    language: str = Language.CHINESE,
) -> User:
    """
    A new buyer, reachable by telephone or e-mail (at least one of the two).

    :raises ValidationError: by field: no contact or a bad one, one that is taken, a weak password
    """
    errors: dict[str, list[ValidationError]] = {}
    phone = _normal("phone", phone, errors)
    email = _normal("email", email, errors)
    if not (phone or email or errors):
        errors["phone"] = [ValidationError(_("Give a mobile number or an e-mail address."), code="required")]
    user = User.objects.build(name=name.strip(), language=language, joined_at=now)
    user.phone, user.email = phone, email
    _check_password(user, password, errors)
    if not errors:
        errors = _taken(user)
    if errors:
        raise ValidationError(errors)
    user.set_password(password)
    return _saved(user)


def _normal(field: str, text: str | None, errors: dict[str, list[ValidationError]]) -> str | None:
    if not text or not text.strip():
        return None
    try:
        return normal_phone(text) if field == "phone" else normal_email(text)
    except ValidationError as error:
        errors[field] = [error]
        return None


def _check_password(user: User, password: str, errors: dict[str, list[ValidationError]]) -> None:
    try:
        NOT_LIKE_ME.validate(password, user)
        validate_password(password, user)
    except ValidationError as error:
        errors["password"] = [error]


def _taken(user: User) -> dict[str, list[ValidationError]]:
    """One query for both contacts."""
    wanted = {
        "phone": blind_indexes(user.phone, "phone") if user.phone else [],
        "email": blind_indexes(user.email, "email") if user.email else [],
    }
    found = User.objects.filter(Q(phone_index__in=wanted["phone"]) | Q(email_index__in=wanted["email"]))
    held = {index for pair in found.values_list("phone_index", "email_index") for index in pair if index}
    taken = ValidationError(_("There is already an account with this. Sign in instead."), code="taken")
    return {field: [taken] for field, indexes in wanted.items() if held & set(indexes)}


def _saved(user: User) -> User:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        # Two registrations at once: the unique index chose; say it like the check above.
        errors = _taken(user)
        if not errors:
            raise
        raise ValidationError(errors) from None
    return user
