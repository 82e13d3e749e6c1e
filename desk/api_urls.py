from django.urls import path

from desk import api, api_disputes, api_wishes

urlpatterns = [
    path("cases/<slug:number>", api.CaseView.as_view(), name="api-desk-case"),
    path("cases/<slug:number>/preview", api.PreviewView.as_view(), name="api-desk-preview"),
    path("cases/<slug:number>/resolve", api.ResolveView.as_view(), name="api-desk-resolve"),
    path("cases/<slug:number>/requests", api.RequestsView.as_view(), name="api-desk-requests"),
    path(
        "orders/<slug:number>/refund-requests",
        api_wishes.RefundWishesView.as_view(),
        name="api-desk-refund-requests",
    ),
    path(
        "shows/<slug:code>/cancellation-requests",
        api_wishes.CancellationWishesView.as_view(),
        name="api-desk-cancellation-requests",
    ),
    path("requests/<int:request_id>/approve", api.ApproveView.as_view(), name="api-desk-approve"),
    path("requests/<int:request_id>/reject", api.RejectView.as_view(), name="api-desk-reject"),
    path("disputes", api_disputes.DisputesView.as_view(), name="api-desk-disputes"),
    path(
        "disputes/<int:dispute_id>/decide",
        api_disputes.DisputeDecisionView.as_view(),
        name="api-desk-dispute-decide",
    ),
]
