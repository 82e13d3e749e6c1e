"""
The desk inside the admin site: the list of cases is the inbox, a case's page is where it is resolved. The other tables
are to look at.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path

from basis.requests import is_key
from basis.staff import HistoryAdmin, LookOnlyAdmin
from desk import people_admin  # noqa: F401 - registers its pages
from desk.models import Case, CaseEvent, RequestEvent
from desk.pages import approvals, case, trail
from desk.pages import inbox as inbox_page


@admin.register(Case)
class CaseAdmin(LookOnlyAdmin):
    """Unfold's place in the site, with pages of our own in it."""

    search_fields = ("number__exact",)

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("waiting/", inbox_page.waiting, "desk_waiting"),
            ("assign/", inbox_page.assign, "desk_assign"),
            ("views/save/", inbox_page.save_view, "desk_save_view"),
            ("views/<int:pk>/forget/", inbox_page.forget_view, "desk_forget_view"),
            ("approvals/", approvals.page, "desk_approvals"),
            ("approvals/<int:pk>/", approvals.one, "desk_approval"),
            ("trail/", trail.page, "desk_trail"),
            ("trail/export/", trail.export, "desk_trail_export"),
            ("<int:pk>/resolve/", case.resolve, "desk_resolve"),
            ("<int:pk>/ask/", case.ask, "desk_ask"),
            ("<int:pk>/take/", case.take, "desk_take"),
            ("<int:pk>/note/", case.note, "desk_note"),
        ]
        ours = [path(route, self._for_the_desk(view), name=name) for route, view, name in pages]
        return ours + super().get_urls()

    def _for_the_desk(self, view: Any) -> Any:
        """Signed in as staff, with the right to look at cases; each page asks for the rights of its own deeds."""

        def guarded(request: HttpRequest, **found: Any) -> HttpResponse:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return view(request, **found)

        return self.admin_site.admin_view(guarded)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not is_key(object_id):
            raise Http404
        return self._for_the_desk(case.page)(request, pk=int(object_id))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return self._for_the_desk(inbox_page.page)(request)


class CaseEventAdmin(HistoryAdmin):
    subject = "case"


class RequestEventAdmin(HistoryAdmin):
    subject = "request"


admin.site.register(CaseEvent, CaseEventAdmin)
admin.site.register(RequestEvent, RequestEventAdmin)
