from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = _("Payments")

    def ready(self) -> None:
        from payments import asking, notify, outbox, purchases, refunds, stops, tasks  # noqa: F401  (handlers register)
        from payments.strays import STRAY, StrayHandler
        from payments.topup import TopUpHandler
        from risk import switches

        purchases.register("topup", TopUpHandler())
        purchases.register(STRAY, StrayHandler())
        outbox.on_nudge(tasks.nudge)
        switches.targets_from(switches.CHANNEL, stops.channels)
