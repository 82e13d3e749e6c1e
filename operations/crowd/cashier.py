"""
The buyer's browser at a channel's cashier: open the page, press its button, believe what it shows.

A page that fails or a connection that breaks is reloaded, as a person would: the page then says what is true.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp

from operations.crowd.tally import CHANNEL, Tally

PAY_FORM = re.compile(r'action="([^"]+/pay)"')
TRIES = 6
PAUSE_S = 0.4
PAID, LOST = "paid", "lost"


@dataclass(frozen=True, slots=True)
class Page:
    """What the cashier showed: where its Pay button leads, empty if there is none, and the page's own address."""

    url: str
    pay_url: str


@dataclass(slots=True)
class Cashier:
    """One buyer's browser. `session` is shared by the crowd."""

    session: aiohttp.ClientSession
    tally: Tally

    async def open(self, url: str) -> Page | None:
        """Open the address that the shop gave (a link or a scanned code); None if the channel stayed away."""
        for _ in range(TRIES):
            status, text, address, _ = await self._ask("cashier_open", "GET", url)
            if status in (200, 409):
                form = PAY_FORM.search(text)
                return Page(address, urljoin(address, form[1]) if form else "")
            if 400 <= status < 500:
                return Page(address, "")
            await asyncio.sleep(PAUSE_S)
        return None

    async def pay(self, page: Page) -> str:
        """Press Pay until the page says `paid`, `closed`, `expired`, `declined` or `absent`; else `lost`."""
        if not page.pay_url:
            return await self.look(page)
        for _ in range(TRIES):
            status, _, _, _ = await self._ask("cashier_pay", "POST", page.pay_url)
            if status in (200, 303):
                return PAID
            if status == 402:
                return "declined"
            shown = await self.look(page)
            if shown not in ("waiting", LOST):
                return shown
            await asyncio.sleep(PAUSE_S)
        return LOST

    async def look(self, page: Page) -> str:
        """What the cashier says of the trade now: `waiting`, `paid`, `closed`, `expired`, `absent` or `lost`."""
        address = page.pay_url.removesuffix("/pay") or page.url
        status, _, _, result = await self._ask("cashier_look", "GET", address, accept="application/json")
        return result or ("absent" if status == 404 else LOST)

    async def _ask(
        self, step: str, method: str, url: str, *, accept: str = "text/html"
    ) -> tuple[int, str, str, str]:
        """Status (0: connection lost), text, final address, and the `result` of a JSON answer."""
        began_at = time.monotonic()
        # Paying leads back to the shop's page: the app polls the shop by itself.
        follow = method == "GET"
        try:
            async with self.session.request(
                method, url, headers={"Accept": accept}, allow_redirects=follow
            ) as response:
                text = await response.text()
                result = (await response.json()).get("result", "") if "json" in response.content_type else ""
                status, address = response.status, str(response.url)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.tally.dropped(host=CHANNEL, step=step, error=type(error).__name__)
            return 0, "", url, ""
        self.tally.answered(
            host=CHANNEL, step=step, status=status, code="", seconds=time.monotonic() - began_at
        )
        return status, text, address, result


def channel_of(page: Page) -> str:
    """Which channel's cashier this is, from its address `/cashier/<channel>/<number>`."""
    parts = urlsplit(page.url).path.split("/")
    return parts[2] if len(parts) > 3 and parts[1] == "cashier" else ""
