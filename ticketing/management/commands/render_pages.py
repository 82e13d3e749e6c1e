"""Renders the shared pages to disk: once, or on a timer for as long as it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone

from basis import events
from ticketing import cdn, prerender

log = events.get_logger(__name__)


class Command(BaseCommand):
    help = "Render the event pages that the edge serves from disk (scripts/edge --pages DIR)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to",
            type=Path,
            default=settings.PAGES_DIR,
            help="directory of the shared pages (KAIPIAO_PAGES_DIR)",
        )
        parser.add_argument(
            "--every", type=float, default=0, help="render again after so many seconds; 0: once"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["to"] is None:
            raise CommandError("Say --to DIRECTORY, or set KAIPIAO_PAGES_DIR.")
        told = cdn.in_use()
        if options["every"]:
            self.stdout.write(f"Rendering to {options['to']}")
            self.stdout.flush()
        while True:
            try:
                done = prerender.render_all(options["to"], now=timezone.now(), cdn=told)
                changed = sum(page.changed for page in done)
                if changed or not options["every"]:
                    log.info("pages.rendered", pages=len(done), changed=changed)
            except (DatabaseError, InterfaceError) as error:
                if not options["every"]:
                    raise
                # What lies on disk stays good enough until Postgres is back.
                log.warning("pages.outage", error=type(error).__name__)
                close_old_connections()
            if not options["every"]:
                self.stdout.write(f"{len(done)} pages, {changed} changed")
                return
            time.sleep(options["every"])
