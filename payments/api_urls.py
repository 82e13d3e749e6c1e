from django.urls import path

from payments import api, api_tokens, api_withdrawals

urlpatterns = [
    path("payments", api.PaymentsView.as_view(), name="api-payments"),
    path("payments/<slug:number>", api.PaymentView.as_view(), name="api-payment"),
    path("payments/<slug:number>/check", api.CheckView.as_view(), name="api-payment-check"),
    path("wallet/withdrawals", api_withdrawals.WithdrawalsView.as_view(), name="api-withdrawals"),
    path("wallet/withdrawals/<slug:number>", api_withdrawals.WithdrawalView.as_view(), name="api-withdrawal"),
    path(
        "wallet/topups/<slug:number>/payment-token",
        api_tokens.TopUpPaymentTokenView.as_view(),
        name="api-topup-payment-token",
    ),
]
