"""
People and the tokens of their programs.

What names a person (telephone, e-mail) is stored sealed and found by a blind index (`basis.sealed`);
`User.save` and the manager keep the two in step. A token's secret is never stored, only its digest.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.contacts import normal_email, normal_phone
from basis.sealed import BlindIndexField, SealedTextField

HANDLE = r"^[a-z][a-z0-9_.-]{1,39}$"
HANDLE_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"
DIGEST = r"^[0-9a-f]{64}$"
INDEX_OF = {"phone": "phone_index", "email": "email_index"}


class Language(models.TextChoices):
    CHINESE = "zh-hans", "简体中文"
    ENGLISH = "en", "English"


def new_handle() -> str:
    """A buyer's handle: he never needs to know it, so it says nothing about him."""
    return "u" + "".join(secrets.choice(HANDLE_LETTERS) for _position in range(12))


class UserManager(BaseUserManager["User"]):
    def build(
        self, *, handle: str = "", phone: str | None = None, email: str | None = None, **fields: Any
    ) -> User:
        """
        A user that is not saved yet, its contacts in their normal form; for bulk creation.

        :raises ValidationError: a contact is not valid
        """
        return self.model(
            handle=handle.lower() or new_handle(),
            phone=normal_phone(phone) if phone else None,
            email=normal_email(email) if email else None,
            **fields,
        )

    def create_user(self, handle: str = "", password: str | None = None, **fields: Any) -> User:
        """
        A saved user; without a password nobody can sign in as him.

        :raises ValidationError: a contact is not valid
        :raises IntegrityError: the handle, the telephone or the e-mail is taken
        """
        user = self.build(handle=handle, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, handle: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(handle, password, **fields | {"is_staff": True, "is_superuser": True})

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(handle=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """
    A buyer, a member of the staff or an integrator's account; which one is a matter of rights, not of kind.
    """

    handle = models.CharField(
        _("handle"),
        max_length=40,
        unique=True,
        validators=[RegexValidator(HANDLE)],
        error_messages={"unique": _("Taken.")},
    )
    name = models.CharField(_("name"), max_length=80, blank=True, default="")
    phone = SealedTextField(_("mobile number"), null=True, blank=True)
    phone_index = BlindIndexField(of="phone")
    email = SealedTextField(_("e-mail"), null=True, blank=True)
    email_index = BlindIndexField(of="email")
    language = models.CharField(
        _("language"), max_length=10, choices=Language.choices, default=Language.CHINESE
    )
    is_staff = models.BooleanField(_("staff"), default=False, help_text=_("May enter the administration."))
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("Switch off instead of deleting: orders and money keep their owner."),
    )
    vip_level = models.PositiveSmallIntegerField(
        _("VIP level"), default=0, help_text=_("0 to 9. Goes first where capacity is bounded.")
    )
    is_large_customer = models.BooleanField(_("large customer"), default=False)
    joined_at = models.DateTimeField(_("joined at"), db_default=Now(), editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "handle"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            models.CheckConstraint(condition=Q(handle__regex=HANDLE), name="accounts_user_handle_form"),
            models.CheckConstraint(condition=Q(vip_level__lte=9), name="accounts_user_vip_level_known"),
            models.CheckConstraint(
                condition=Q(language__in=Language.values), name="accounts_user_language_known"
            ),
            models.CheckConstraint(
                condition=Q(phone__isnull=True, phone_index__isnull=True)
                | Q(phone__isnull=False, phone_index__isnull=False, phone_index__regex=DIGEST),
                name="accounts_user_phone_indexed",
            ),
            models.CheckConstraint(
                condition=Q(email__isnull=True, email_index__isnull=True)
                | Q(email__isnull=False, email_index__isnull=False, email_index__regex=DIGEST),
                name="accounts_user_email_indexed",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.handle

    def save(self, *args: Any, **kwargs: Any) -> None:
        """An index is written whenever its text is, also by `save(update_fields=["phone"])`."""
        fields = kwargs.get("update_fields")
        if fields is not None:
            kwargs["update_fields"] = {*fields, *(INDEX_OF[name] for name in fields if name in INDEX_OF)}
        super().save(*args, **kwargs)

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)


class ApiToken(models.Model):
    """A program's key to one user's account, limited to `scopes`. The secret is shown once, at issue."""

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="api_tokens", verbose_name=_("user")
    )
    name = models.CharField(_("name"), max_length=80, blank=True, default="")
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    prefix = models.CharField(_("begins with"), max_length=8, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created at"), editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)
    last_used_on = models.DateField(_("last used on"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        constraints = [
            models.CheckConstraint(condition=Q(digest__regex=DIGEST), name="accounts_apitoken_digest_form"),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")),
                name="accounts_apitoken_expires_later",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or '—'} ({self.prefix}…)"

    def is_live(self, *, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)
