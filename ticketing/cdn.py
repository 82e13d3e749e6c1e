"""
A CDN in front of the shared pages, as far as we must know one: it fetches pages from the edge and keeps them until it
is told to forget them. `Purge` tells it over HTTP, in the form that most of them take; by default there is none.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection
from typing import Protocol

import httpx2
from django.conf import settings

from basis import events, fast

log = events.get_logger(__name__)

CONNECT_S, ANSWER_S = 1.0, 3.0


class Cdn(Protocol):
    """Where pages are pushed to, or forgotten, besides the disk."""

    def publish(self, path: str, language: str, body: bytes, *, anew: bool = False) -> None:
        """
        Make `body` what `path` answers in `language`; called with the same body again and again, at every round, so
        that what failed once is made good by the next. `anew`: also if it seems to be so already, for staff ask. Never
        raises for a CDN that does not answer.
        """

    def withdraw_others(self, paths: Collection[str]) -> None:
        """Nothing but `paths` is published any more; also called at every round."""


class Purge:
    """
    Tells a CDN to forget the address of a page that changed: POST `{"files": ["https://…/events/…/"]}` with a bearer
    token, once a body. A refusal or silence is logged, and the next round asks again.

    What it was told is remembered in the fast store, so that another process, or this one started again, does not tell
    it everything anew; in this process alone while that is away.
    """

    def __init__(self, *, url: str, token: str, member: str = "files", public_url: str) -> None:
        self.url, self.token, self.member = url, token, member
        self.public_url = public_url.rstrip("/")
        # Another CDN has been told nothing.
        self._key = f"cdn:told:{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        self._told: dict[str, str] = {}
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S), trust_env=False, follow_redirects=False
        )

    def publish(self, path: str, language: str, body: bytes, *, anew: bool = False) -> None:
        digest, page = hashlib.sha256(body).hexdigest(), f"{language} {path}"
        if (anew or self._known().get(page) != digest) and self._forget(path):
            self._told[page] = digest
            with contextlib.suppress(fast.FastStoreAway):
                fast.store().hset(self._key, page, digest)

    def withdraw_others(self, paths: Collection[str]) -> None:
        for page in self._known():
            path = page.partition(" ")[2]
            if path not in paths and self._forget(path):
                self._told.pop(page, None)
                with contextlib.suppress(fast.FastStoreAway):
                    fast.store().hdel(self._key, page)

    def _known(self) -> dict[str, str]:
        """The digests of what the CDN was told, by language and path."""
        try:
            told = fast.store().hgetall(self._key)
            return {str(page): str(digest) for page, digest in told.items()}
        except fast.FastStoreAway:
            return dict(self._told)

    def _forget(self, path: str) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        asked = {self.member: [f"{self.public_url}{path}"]}
        try:
            status = self._client.post(self.url, json=asked, headers=headers).status_code
        except httpx2.HTTPError as error:
            log.warning("cdn.silent", path=path, error=type(error).__name__)
            return False
        if not 200 <= status < 300:
            log.warning("cdn.refused", path=path, status=status)
            return False
        log.info("cdn.purged", path=path)
        return True


def in_use() -> Cdn | None:
    """The CDN that the settings name; None: the pages are on disk alone."""
    if not settings.CDN_PURGE_URL:
        return None
    return Purge(
        url=settings.CDN_PURGE_URL,
        token=settings.CDN_PURGE_TOKEN,
        member=settings.CDN_PURGE_MEMBER,
        public_url=settings.PUBLIC_URL,
    )
