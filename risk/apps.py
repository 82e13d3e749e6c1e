from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "risk"

    def ready(self) -> None:
        from basis import door, problems
        from risk import gate_web, refusals

        door.put_in_charge(gate_web.guard)
        problems.watch(refusals.seen)
