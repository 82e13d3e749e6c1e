"""The clock of the channels: their times, days and cut-offs are Beijing's, whatever zone a process runs in."""

from __future__ import annotations

from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")
