import argparse
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from accounts.models import User
from operations import seeding

DEMO_HANDLE, DEMO_PASSWORD = "demo", "demo-buyer-of-kaipiao"  # sample data; production refuses it
STAFF_HANDLE = "staff"


class Command(BaseCommand):
    help = (
        "Sample data: a show of 39,000 seats, buyers with money, and a part of the house sold. Repeatable: what "
        "exists is left alone. Buyer to sign in as: demo / demo-buyer-of-kaipiao."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--show", default="tonight", help="the show's code (default: %(default)s)")
        parser.add_argument("--rows-per-section", type=int, help="a smaller hall: so many rows a section")
        parser.add_argument("--buyers", type=int, default=100, help="buyers b000001… (default: %(default)s)")
        parser.add_argument(
            "--cash", type=int, default=200_000, help="fen in each one's wallet (default: %(default)s)"
        )
        parser.add_argument(
            "--sold", type=int, default=0, help="how many seats are sold already (default: 0)"
        )
        parser.add_argument("--seed", type=int, default=1, help="another number, other sold orders")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError(
                "sample data, with a password that everybody can read, has no place in production"
            )
        now = timezone.now()
        with _progress(quiet=as_json) as told:
            show = seeding.seed_show(
                code=options["show"], now=now, rows_per_section=options["rows_per_section"]
            )
            told("show", 1, 1)
            buyers = seeding.seed_buyers(options["buyers"], options["cash"], now=now, told=told)
            people = self._people(cash_minor=options["cash"])
            try:
                sold = seeding.seed_sold(
                    show=show, seats=options["sold"], now=timezone.now(), seed=options["seed"], told=told
                )
            except seeding.NotEnough as error:
                raise CommandError(str(error)) from error
        facts = {
            "show": show.code,
            "seats": show.seats.count(),
            "sold": sold.seats_in_all,
            "orders": sold.orders,
            "buyers": len(buyers),
            "seconds": round((timezone.now() - now).total_seconds(), 1),
            **people,
        }
        self.stdout.write(json.dumps(facts, ensure_ascii=False) if as_json else _told(facts))

    def _people(self, *, cash_minor: int) -> dict[str, Any]:
        """The demo buyer, and a member of the staff whose password is told this once."""
        demo = User.objects.filter(handle=DEMO_HANDLE).first()
        if demo is None:
            demo = User.objects.create_user(DEMO_HANDLE, DEMO_PASSWORD, name="Demo")
        seeding.open_wallets([demo.pk], cash_minor, now=timezone.now())
        password = None
        if not User.objects.filter(handle=STAFF_HANDLE).exists():
            password = secrets.token_urlsafe(12)
            User.objects.create_superuser(STAFF_HANDLE, password, name="Staff")
        return {
            "demo": {"handle": DEMO_HANDLE, "password": DEMO_PASSWORD},
            "staff": {"handle": STAFF_HANDLE, "password": password},
        }


def _told(facts: dict[str, Any]) -> str:
    staff = facts["staff"]
    word = staff["password"] or "as told before; manage.py changepassword staff sets another"
    return (
        f"Show {facts['show']}: {facts['seats']:,} seats, {facts['sold']:,} of them sold.\n"
        f"{facts['buyers']:,} buyers with wallets, in {facts['seconds']} s.\n"
        f"Buyer: {facts['demo']['handle']} / {facts['demo']['password']}\n"
        f"Staff: {staff['handle']} / {word}"
    )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[seeding.Told]:
    """A bar on a terminal, a line a step elsewhere, nothing with `--json`."""
    if quiet:
        yield seeding.quiet
    elif sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("")
            yield lambda step, done, of: progress.update(task, description=step, completed=done, total=of)
    else:
        yield lambda step, done, of: print(
            f"{timezone.localtime():%H:%M:%S} {step}: {done:,} of {of:,}", file=sys.stderr, flush=True
        )
