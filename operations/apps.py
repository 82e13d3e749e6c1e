from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """What keeps the product running on one machine: its services, its process tree, its commands."""

    name = "operations"
    verbose_name = "Operations"
