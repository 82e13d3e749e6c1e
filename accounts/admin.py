from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserCreationForm

from accounts.models import ApiToken, User
from accounts.signin import named
from basis.sealed import mask_email, mask_phone

admin.site.unregister(Group)

RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """A role is everybody's who has it: superusers alone change one, or who could would give himself any right."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request) and super().has_delete_permission(request, obj)


def is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


class NewUserForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("handle", "name")


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """
    Contacts masked, the password's hash not shown at all. Search finds a whole number, address or handle.
    """

    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("handle", "name", "masked_phone", "masked_email", "is_active", "is_staff", "joined_at")
    list_filter = ("is_staff", "is_active", "language")
    search_fields = ("handle", "name")
    ordering = ("-id",)
    readonly_fields = ("masked_phone", "masked_email", "joined_at", "last_login")
    fieldsets = (
        (None, {"fields": ("handle", "name", "language", "masked_phone", "masked_email")}),
        (_("Standing"), {"fields": ("vip_level", "is_large_customer")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Dates"), {"fields": ("joined_at", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("handle", "name", "usable_password", "password1", "password2")}),)
    show_full_result_count = False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            # Django's own change form insists on showing parts of the hash.
            kwargs["form"] = ModelForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        if search_term.strip():
            found = found | queryset.filter(named(search_term))
        return found, may_repeat

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Buyers' accounts by who has the right; those of the staff by superusers: a password makes one somebody."""
        theirs = obj is None or not (obj.is_staff or obj.is_superuser)
        return super().has_change_permission(request, obj) and (theirs or is_superuser(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nobody gives rights but a superuser, and nobody gives any to himself. Histories name the staff by handle."""
        fixed = [*super().get_readonly_fields(request, obj)]
        if not is_superuser(request) or (obj is not None and obj.pk == request.user.pk):
            fixed += RIGHTS
        if obj is not None and (obj.is_staff or obj.is_superuser):
            fixed.append("handle")
        return fixed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # Orders and money keep their owner; `is_active` shuts an account.

    @admin.display(description=_("mobile number"))
    def masked_phone(self, user: User) -> str:
        return mask_phone(user.phone)

    @admin.display(description=_("e-mail"))
    def masked_email(self, user: User) -> str:
        return mask_email(user.email)


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    """Tokens are issued by their owners; the staff look and revoke. Neither secret nor digest is shown."""

    list_display = (
        "name",
        "prefix",
        "user",
        "scopes",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_on",
    )
    list_select_related = ("user",)
    list_filter = ("revoked_at",)
    search_fields = ("prefix", "name", "user__handle")
    ordering = ("-id",)
    actions = ("revoke",)
    fields = ("user", "name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_on")
    readonly_fields = fields
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description=_("Revoke"), permissions=("change",))
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        revoked = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        told = ngettext("%(count)d token revoked.", "%(count)d tokens revoked.", revoked) % {"count": revoked}
        self.message_user(request, told, messages.SUCCESS)
