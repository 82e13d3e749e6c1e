"""Where channels deliver their notifications: raw bytes in, the channel's own answer out."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from payments import notify
from payments.channels import registry


@csrf_exempt
@require_POST
def take_notification(request: HttpRequest, channel: str) -> HttpResponse:
    """Authenticated by the channel's signature over the body; a session or a CSRF token would mean nothing here."""
    try:
        reply = notify.receive(
            channel=channel, headers=dict(request.headers), body=request.body, now=timezone.now()
        )
    except registry.NoSuchChannel:
        raise Http404 from None
    return HttpResponse(
        reply.body, status=reply.status, content_type=reply.content_type, headers=dict(reply.headers)
    )
