from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from basis.models import IdempotencyRecord


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ModelAdmin):
    """
    To look at. The stored body stays out: it is an answer to one buyer, and a support desk needs only its
    status.
    """

    list_display = ("key", "route", "principal", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("key", "principal")
    ordering = ("-id",)
    fields = ("principal", "route", "key", "status", "claimed_until", "created_at")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
