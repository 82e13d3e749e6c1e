from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TicketingConfig(AppConfig):
    name = "ticketing"
    verbose_name = _("Ticketing")

    def ready(self) -> None:
        from payments import batch, purchases
        from risk import gate, switches
        from ticketing import cancel_work, history, listings, orders  # noqa: F401  (cancel_work: its handler registers)
        from ticketing.fulfil import OrderHandler
        from ticketing.fulfil_many import OrderBatchHandler

        purchases.register(orders.PURCHASE, OrderHandler())
        gate.history_from(history.of)
        batch.register(orders.PURCHASE, OrderBatchHandler())
        switches.targets_from(switches.SALE, listings.stoppable_shows)
