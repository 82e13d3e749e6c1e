from django.urls import path

from operations.boards import pages

app_name = "boards"
urlpatterns = [
    path("sale/", pages.live_sale, name="sale"),
    path("finance/", pages.money, name="finance"),
    path("health/", pages.well_being, name="health"),
]
