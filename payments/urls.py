from django.urls import path

from payments import views

urlpatterns = [path("<slug:channel>/", views.take_notification, name="notify")]
