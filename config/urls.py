"""Every address of the product."""

from django.contrib import admin
from django.urls import include, path

from basis import health, problems
from operations.boards.metrics import metrics

urlpatterns = [
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", metrics),
    path("notify/", include("payments.urls")),
    path("api/", include("config.api_urls")),
    path("admin/boards/", include("operations.boards.urls")),
    path("admin/", admin.site.urls),
    path("challenge/", include("risk.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("ticketing.urls")),
]

handler400 = problems.handler400
handler403 = problems.handler403
handler404 = problems.handler404
handler500 = problems.handler500
