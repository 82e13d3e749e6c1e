"""Event pages as files: the same for everybody, whole at any moment, gone when the event is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from risk.room_models import Room
from ticketing import prerender
from ticketing.models import Event, Show

pytestmark = pytest.mark.django_db


def page(root: Path, show: Show, language: str) -> str:
    return (root / language / "events" / show.event.slug / "index.html").read_text()


def test_a_page_in_each_language_and_nothing_of_a_visitor(show: Show, clock: Any, tmp_path: Path) -> None:
    first = prerender.render_all(tmp_path, now=clock())
    assert {(one.language, one.changed) for one in first} == {("zh-hans", True), ("en", True)}
    chinese, english = page(tmp_path, show, "zh-hans"), page(tmp_path, show, "en")
    assert show.event.name_zh in chinese
    assert show.event.name_en in english
    for text in (chinese, english):
        assert "csrf" not in text
        assert "nonce" not in text
        assert "<form" not in text
        assert f"/api/v1/shows/{show.code}/availability" in text
    assert not any(one.changed for one in prerender.render_all(tmp_path, now=clock()))
    assert not list(tmp_path.rglob("*.half"))


def test_a_room_is_where_the_button_leads(show: Show, clock: Any, tmp_path: Path) -> None:
    prerender.render_all(tmp_path, now=clock())
    assert f"/shows/{show.code}/queue/" not in page(tmp_path, show, "en")
    Room.objects.create(show=show.code, opens_at=clock() + timedelta(hours=1))
    prerender.render_all(tmp_path, now=clock())
    assert f"/shows/{show.code}/queue/" in page(tmp_path, show, "en")


def test_what_is_not_published_is_not_served(show: Show, clock: Any, tmp_path: Path) -> None:
    prerender.render_all(tmp_path, now=clock())
    Event.objects.update(published=False)
    prerender.render_all(tmp_path, now=clock())
    assert not list(tmp_path.rglob("index.html"))


def test_a_cdn_is_told(show: Show, clock: Any, tmp_path: Path) -> None:
    told: list[tuple[str, str, int]] = []

    class Pushed:
        def publish(self, path: str, language: str, body: bytes) -> None:
            told.append((path, language, len(body)))

    prerender.render_all(tmp_path, now=clock(), cdn=Pushed())
    assert {(path, language) for path, language, _length in told} == {
        (f"/events/{show.event.slug}/", "zh-hans"),
        (f"/events/{show.event.slug}/", "en"),
    }


def test_the_command_renders_once(show: Show, tmp_path: Path) -> None:
    call_command("render_pages", to=tmp_path)
    assert page(tmp_path, show, "en")
