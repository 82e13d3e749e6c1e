from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RiskConfig(AppConfig):
    name = "risk"
    verbose_name = _("Risk")

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from basis import door, problems
        from risk import devices, gate_web, refusals

        door.put_in_charge(gate_web.guard)
        problems.watch(refusals.seen)
        user_logged_in.connect(devices.note, dispatch_uid="risk.devices")
