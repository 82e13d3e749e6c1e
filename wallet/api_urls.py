from django.urls import path

from wallet import api

urlpatterns = [
    path("wallet", api.WalletView.as_view(), name="api-wallet"),
    path("wallet/entries", api.EntriesView.as_view(), name="api-wallet-entries"),
    path("wallet/topups", api.TopUpsView.as_view(), name="api-topups"),
    path("wallet/topups/<slug:number>", api.TopUpView.as_view(), name="api-topup"),
]
