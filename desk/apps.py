from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DeskConfig(AppConfig):
    name = "desk"
    verbose_name = _("Operations desk")

    def ready(self) -> None:
        from desk import (  # noqa: F401 - case types register
            dispute_types,
            merchants,
            roles,
            settlement,
            statement_types,
            wishes,
            withdrawal_types,
        )
        from desk.pages import asking
        from ticketing import second_person

        second_person.asked_through(asking.ask)

        post_migrate.connect(roles.after_migrate, dispatch_uid="desk.roles")
