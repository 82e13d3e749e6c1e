from django.urls import path

from accounts import api

urlpatterns = [
    path("register", api.RegisterView.as_view(), name="register"),
    path("session", api.SessionView.as_view(), name="session"),
    path("me", api.MeView.as_view(), name="me"),
    path("tokens", api.TokensView.as_view(), name="tokens"),
    path("tokens/<int:token_id>", api.TokenView.as_view(), name="token"),
]
