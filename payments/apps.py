from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = _("Payments")

    def ready(self) -> None:
        from payments import asking, notify, outbox, purchases, refunds, tasks  # noqa: F401  (handlers register)
        from payments.topup import TopUpHandler

        purchases.register("topup", TopUpHandler())
        outbox.on_nudge(tasks.nudge)
