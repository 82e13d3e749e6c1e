from django.urls import path

from payments import api

urlpatterns = [
    path("payments", api.PaymentsView.as_view(), name="api-payments"),
    path("payments/<slug:number>", api.PaymentView.as_view(), name="api-payment"),
    path("payments/<slug:number>/check", api.CheckView.as_view(), name="api-payment-check"),
    path(
        "wallet/topups/<slug:number>/payment-token",
        api.TopUpPaymentTokenView.as_view(),
        name="api-topup-payment-token",
    ),
]
