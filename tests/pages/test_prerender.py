"""Event pages as files: the same for everybody, whole at any moment, gone when the event is."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from basis import fast
from risk import steering
from risk.room_models import Room
from ticketing import cdn, prerender
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
    assert f"/shows/{show.code}/queue/" not in page(tmp_path, show, "en")  # nobody may join yet
    steering.collect(show=show.code, actor="ops", now=clock())
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
        def publish(self, path: str, language: str, body: bytes, *, anew: bool = False) -> None:
            told.append((path, language, len(body)))

        def withdraw_others(self, paths: Collection[str]) -> None:
            assert paths == {f"/events/{show.event.slug}/"}

    prerender.render_all(tmp_path, now=clock(), cdn=Pushed())
    assert {(path, language) for path, language, _length in told} == {
        (f"/events/{show.event.slug}/", "zh-hans"),
        (f"/events/{show.event.slug}/", "en"),
    }


@pytest.fixture
def cdn_far_away() -> Iterator[Any]:
    """A CDN that notes what it is asked to forget, and answers `status`."""
    told: Any = SimpleNamespace(asked=[], status=200)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(told.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}/zones/7/purge_cache"
    yield told
    server.shutdown()
    server.server_close()


def test_a_cdn_forgets_what_changed_and_nothing_else(
    show: Show, clock: Any, tmp_path: Path, settings: Any, cdn_far_away: Any
) -> None:
    assert cdn.in_use() is None
    settings.CDN_PURGE_URL, settings.CDN_PURGE_TOKEN = cdn_far_away.url, "t0ken"
    settings.PUBLIC_URL = "https://tickets.example"
    used = cdn.in_use()
    address = f"https://tickets.example/events/{show.event.slug}/"
    once = ("/zones/7/purge_cache", "Bearer t0ken", {"files": [address]})
    cdn_far_away.status = 503
    prerender.render_all(tmp_path, now=clock(), cdn=used)
    cdn_far_away.status = 200
    prerender.render_all(tmp_path, now=clock(), cdn=used)  # what it refused is asked again
    prerender.render_all(tmp_path, now=clock(), cdn=used)
    assert cdn_far_away.asked == [once] * 4  # two languages, refused and done
    Event.objects.update(name_en="Another name")
    prerender.render_all(tmp_path, now=clock(), cdn=used)
    assert cdn_far_away.asked == [once] * 5
    # Started again, or another process: it was told. A wiped store tells it once more.
    prerender.render_all(tmp_path, now=clock(), cdn=cdn.in_use())
    assert len(cdn_far_away.asked) == 5
    fast.store().flushdb()
    prerender.render_all(tmp_path, now=clock(), cdn=cdn.in_use())
    prerender.render_all(tmp_path, now=clock(), cdn=cdn.in_use())
    assert len(cdn_far_away.asked) == 7
    # What is published no longer is forgotten too, and asked again until it is.
    Event.objects.update(published=False)
    cdn_far_away.status = 503
    prerender.render_all(tmp_path, now=clock(), cdn=cdn.in_use())
    cdn_far_away.status = 200
    prerender.render_all(tmp_path, now=clock(), cdn=cdn.in_use())
    prerender.render_all(tmp_path, now=clock(), cdn=cdn.in_use())
    assert cdn_far_away.asked == [once] * 11
    Event.objects.update(published=True)
    settings.CDN_PURGE_URL = "http://127.0.0.1:1/"
    prerender.render_all(tmp_path, now=clock(), cdn=cdn.in_use())  # silence stops nothing


def test_staff_render_again_by_hand(
    show: Show, tmp_path: Path, settings: Any, cdn_far_away: Any, admin_client: Any
) -> None:
    wish = {"action": "render_again", "_selected_action": [show.event.pk]}
    changelist = reverse("admin:ticketing_event_changelist")
    settings.PAGES_DIR = None
    assert "KAIPIAO_PAGES_DIR" in admin_client.post(changelist, wish, follow=True).content.decode()
    settings.PAGES_DIR, settings.CDN_PURGE_URL = tmp_path, cdn_far_away.url
    admin_client.post(changelist, wish, follow=True)
    spoilt = tmp_path / "en" / "events" / show.event.slug / "index.html"
    spoilt.write_text("spoilt")
    admin_client.post(changelist, wish, follow=True)
    assert show.event.name_en in spoilt.read_text()
    assert len(cdn_far_away.asked) == 4
    Event.objects.update(published=False)
    admin_client.post(changelist, wish, follow=True)
    assert len(cdn_far_away.asked) == 4


def test_the_command_renders_once(show: Show, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="KAIPIAO_PAGES_DIR"):
        call_command("render_pages")
    call_command("render_pages", to=tmp_path)
    assert page(tmp_path, show, "en")
