from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class BasisConfig(AppConfig):
    name = "basis"
    verbose_name = _("Foundations")

    def ready(self) -> None:
        from basis import columns, field_names

        columns.register()
        field_names.translate(apps.get_models())
