"""The channel sandbox's control interface: order its misbehaviour, read its books. These are not our own records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp


class SandboxRefused(Exception):
    """The control interface did not do what was asked; the drill cannot go on."""


@dataclass(slots=True)
class ChannelBooks:
    """One sandbox. Faults are always ordered for one trade's number, so that replays do not disturb each other."""

    session: aiohttp.ClientSession
    url: str

    async def misbehave(
        self,
        fault: str,
        *,
        number: str = "",
        channel: str = "",
        op: str = "",
        times: int | None = 1,
        **args: Any,
    ) -> None:
        """From now on `fault` strikes operation `op` on the trade `number`, `times` times (None: until `calm`)."""
        match = {"channel": channel, "number": number, "op": op}
        await self._ask("POST", "faults", {"fault": fault, "match": match, "times": times, "args": args})

    async def calm(self, number: str) -> None:
        """Take back what was ordered for this trade."""
        await self._ask("DELETE", f"faults?number={number}")

    async def trades_of(self, order: str) -> list[dict[str, Any]]:
        """Every trade that was ever opened for an order, by what its subject says, with their refunds."""
        found: list[dict[str, Any]] = (await self._ask("GET", f"trades?subject={order}"))["trades"]
        return found

    async def trade(self, number: str) -> dict[str, Any]:
        """One trade; empty if the channel has none of this number."""
        found = (await self._ask("GET", f"trades?number={number}"))["trades"]
        return found[0] if found else {}

    async def notifies_of(self, number: str) -> list[dict[str, Any]]:
        """What was sent, or lost, about a trade, with the answers to it."""
        found: list[dict[str, Any]] = (await self._ask("GET", f"notifies?number={number}"))["notifies"]
        return found

    async def notify_now(self, channel: str, number: str) -> int:
        """Send the notification of a paid trade this moment; the shop's status."""
        told = await self._ask("POST", "notify", {"channel": channel, "number": number})
        return int(told["status"])

    async def reset(self) -> None:
        """Empty books, for a new day."""
        await self._ask("POST", "reset", {})

    async def set_weather(self, weather: dict[str, Any]) -> None:
        """What goes wrong by chance, for everybody."""
        await self._ask("POST", "weather", weather)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with self.session.request(method, f"{self.url}/_control/{path}", json=body) as response:
            if response.status != 200:
                raise SandboxRefused(f"{path}: {response.status} {await response.text()}")
            told: dict[str, Any] = await response.json()
            return told
