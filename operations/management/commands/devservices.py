import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from operations.devservices import console


class Command(BaseCommand):
    help = "The embedded Postgres and Valkey: up, down, status (exit 1 when down), reset (data is deleted)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        console.add_arguments(parser)

    def handle(self, *, action: str, as_json: bool, **_others: Any) -> None:
        try:
            text, code = console.perform(action=action, as_json=as_json)
        except console.EXPECTED_ERRORS as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text)
        if code:
            raise SystemExit(code)
