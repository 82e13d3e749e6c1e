"""The Content-Security-Policy of every page, and what differs of it below a path (`CONTENT_SECURITY_POLICY_BELOW`)."""

from __future__ import annotations

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class PolicyMiddleware(CSPMiddleware):
    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        for below, differs in settings.CONTENT_SECURITY_POLICY_BELOW.items():
            if not report_only and request.path_info.startswith(below):
                parts.replace = {**differs, **(parts.replace or {})}
        return parts
