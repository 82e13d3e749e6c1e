from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeskConfig(AppConfig):
    name = "desk"
    verbose_name = _("Operations desk")

    def ready(self) -> None:
        from desk import merchants, statement_types  # noqa: F401 - case types register
