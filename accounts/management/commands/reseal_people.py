from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from accounts.rotation import reseal_people


class Command(BaseCommand):
    help = "Seal all personal data, contacts and accounts that are paid out to, with the newest key of DATA_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        done = 0
        for done in reseal_people():  # the last count is the total
            if options["verbosity"] > 1:
                self.stdout.write(f"{done} rows")
        if options["verbosity"]:
            self.stdout.write(f"{done} rows are sealed with the newest key; the older keys may be dropped.")
