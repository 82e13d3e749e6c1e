from django.apps import AppConfig


class BasisConfig(AppConfig):
    name = "basis"

    def ready(self) -> None:
        from basis import columns

        columns.register()
