"""The REST API, version 1, its schema and its console."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    path("problems/", include("basis.problems")),
    path("v1/auth/", include("accounts.urls")),
    path("v1/", include("risk.api_urls")),
    path("v1/", include("ticketing.api_urls")),
    path("v1/", include("payments.api_urls")),
    path("v1/", include("wallet.api_urls")),
    path("v1/desk/", include("desk.api_urls")),
]
