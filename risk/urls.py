from django.urls import path

from risk import pages

urlpatterns = [path("", pages.challenge_page, name="challenge")]
