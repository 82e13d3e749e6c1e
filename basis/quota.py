"""RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers): what an answer says of a limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """
    A limit as the client is told: its `name`; at most `most` in `window_s`, or at once where that is None; how many are
    left, and in how many seconds there are more.
    """

    name: str
    most: int
    window_s: int | None
    reset_s: int
    remaining: int = 0

    def headers(self) -> dict[str, str]:
        span = 'qu="concurrent-requests"' if self.window_s is None else f"w={self.window_s}"
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.most};{span}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset_s}',
        }
