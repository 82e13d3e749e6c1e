"""
The edge's access log (deploy/nginx/edge.conf, one JSON object a line), read for the second estimate: what the
application took, as the edge saw it. Reads on from where it stopped; a rotated or shortened file is begun anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from risk.load import group_of
from risk.thresholds import Second

BYTES_MAX = 8_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that reached the application."""

    second: int
    group: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Position:
    inode: int = 0
    offset: int = 0


def parse(line: str) -> Seen | None:
    """None for what the edge answered itself, what belongs to no group, what failed, and what is no line of ours."""
    try:
        found = json.loads(line)
        group = group_of(str(found["method"]), str(found["path"]))
        # With retries nginx writes several times, separated by commas; a dash where none was reached.
        took = sum(
            float(part)
            for part in str(found["upstream_seconds"]).replace(":", ",").split(",")
            if part.strip(" -")
        )
        status, at = int(found["status"]), float(found["at"])
    except (ValueError, KeyError, TypeError):
        return None
    reached = str(found["upstream_seconds"]).strip(" -") != ""
    return Seen(int(at), group, took) if group and reached and status < 500 else None


def read(path: Path, start: Position, *, most: int = BYTES_MAX) -> tuple[dict[str, list[Second]], Position]:
    """What is new in the file, second by second and by group, and where to go on. At most `most` bytes, the newest."""
    try:
        stat = path.stat()
    except OSError:
        return {}, Position()
    offset = start.offset if (stat.st_ino, True) == (start.inode, start.offset <= stat.st_size) else 0
    skipped = max(offset, stat.st_size - most)
    sums: dict[tuple[str, int], tuple[int, float]] = {}
    with path.open("rb") as file:
        file.seek(skipped)
        if skipped > offset:
            file.readline()  # begin at a whole line
        at = file.tell()
        for raw in file:
            if not raw.endswith(b"\n"):
                break  # still being written
            at += len(raw)
            seen = parse(raw.decode(errors="replace"))
            if seen is not None:
                number, busy_s = sums.get((seen.group, seen.second), (0, 0.0))
                sums[seen.group, seen.second] = (number + 1, busy_s + seen.seconds)
    groups: dict[str, list[Second]] = {}
    for (group, second), (number, busy_s) in sorted(sums.items()):
        groups.setdefault(group, []).append(Second(second, number, busy_s))
    return groups, Position(stat.st_ino, at)
