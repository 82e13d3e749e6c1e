from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "risk"

    def ready(self) -> None:
        from basis import door
        from risk import gate_web

        door.put_in_charge(gate_web.guard)
