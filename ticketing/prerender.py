"""
Event pages as files, for everybody who is nobody yet (M12): the edge serves them from disk, without asking Python.

A shared page holds nothing of a visitor, so it orders nothing: it shows what is on and leads to the waiting room or to
the order form. What is left is counted by the reader's own browser, once a second at most. Files are replaced whole, so
that nobody reads half a page; a CDN is told through one small port, `ticketing.cdn`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import translation

from risk.room_models import Room
from ticketing import availability
from ticketing.cdn import Cdn
from ticketing.models import Event, Show


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page that was looked at: `changed` says whether the file was written."""

    path: str
    language: str
    changed: bool


def render_all(root: Path, *, now: datetime, cdn: Cdn | None = None) -> list[Rendered]:
    """Write every published event's page in every language below `root`; remove those of events that are not."""
    done = render(root, Event.objects.all(), now=now, cdn=cdn)
    paths = {one.path for one in done}
    _remove_others(root, {path.strip("/").rpartition("/")[2] for path in paths})
    if cdn is not None:
        cdn.withdraw_others(paths)
    return done


def render(
    root: Path, events: QuerySet[Event], *, now: datetime, cdn: Cdn | None = None, anew: bool = False
) -> list[Rendered]:
    """Write the pages of those of the events that are published; `anew` also files that seem right already."""
    found = events.filter(published=True).prefetch_related("shows__venue", "shows__phases")
    return [
        _render(root, event, language, now=now, cdn=cdn, anew=anew)
        for event in found
        for language, _name in settings.LANGUAGES
    ]


def _render(
    root: Path, event: Event, language: str, *, now: datetime, cdn: Cdn | None, anew: bool
) -> Rendered:
    path = f"/events/{event.slug}/"
    with translation.override(language):
        body = render_to_string(
            "pages/event_shared.html", _context(event, now), request=_nobody(path)
        ).encode()
    target = root / language / "events" / event.slug / "index.html"
    changed = anew or not target.exists() or target.read_bytes() != body
    if changed:
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_suffix(f".{os.getpid()}.half")
        half.write_bytes(body)
        half.replace(target)
    if cdn is not None:
        cdn.publish(path, language, body, anew=anew)
    return Rendered(path, language, changed)


def _context(event: Event, now: datetime) -> dict[str, object]:
    shows = sorted(event.shows.all(), key=lambda show: show.starts_at)
    found = Room.objects.filter(show__in=[show.code for show in shows])
    rooms = {room.show for room in found if room.is_in_front}
    return {"event": event, "now": now, "shows": [_of_show(show, show.code in rooms, now) for show in shows]}


def _of_show(show: Show, has_room: bool, now: datetime) -> dict[str, object]:
    phase, sale = availability.phase_to_show(show, now=now)
    return {"show": show, "phase": phase, "sale": sale, "tiers": list(show.tiers.all()), "has_room": has_room}


def _nobody(path: str) -> HttpRequest:
    """The request of a visitor of whom nothing is known."""
    request = RequestFactory().get(path)
    request.user = AnonymousUser()
    return request


def _remove_others(root: Path, slugs: Iterable[str]) -> None:
    for language, _name in settings.LANGUAGES:
        for page in (root / language / "events").glob("*/index.html"):
            if page.parent.name not in slugs:
                page.unlink()
