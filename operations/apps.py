from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OperationsConfig(AppConfig):
    """What keeps the product running on one machine: its services, its process tree, its commands."""

    name = "operations"
    verbose_name = _("Operations")
