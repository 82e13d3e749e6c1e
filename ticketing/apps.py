from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TicketingConfig(AppConfig):
    name = "ticketing"
    verbose_name = _("Ticketing")

    def ready(self) -> None:
        from payments import purchases
        from ticketing import orders
        from ticketing.fulfil import OrderHandler

        purchases.register(orders.PURCHASE, OrderHandler())
