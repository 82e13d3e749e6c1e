from django.urls import path

from risk import api

urlpatterns = [path("challenge", api.ChallengeView.as_view(), name="api-challenge")]
