"""Who used the processor: seconds of whole groups of processes, read from /proc; Linux alone."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> list[int]:
    """A process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, look = [], [root]
    while look:
        pid = look.pop()
        found.append(pid)
        look += children.get(pid, [])
    return found


def seconds(root: int) -> float:
    """Processor seconds of a process, its descendants, and those of its children that ended."""
    total = 0
    for pid in tree(root):
        fields = _fields(pid)
        if fields:
            total += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return total / TICKS


Spent = dict[int, tuple[int, float]]
"""By process: its parent, and the processor seconds of it and of those of its children that ended."""


def spent() -> Spent:
    """What all processes have used by now; one look at each of them, cheap enough for once a second."""
    found: Spent = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            found[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15])) / TICKS
    return found


def of_program(root: int, at: Spent) -> float:
    """Processor seconds of a process and its descendants in what `spent` answered."""
    own = at.get(root, (0, 0.0))[1]
    return own + sum(of_program(pid, at) for pid, (parent, _) in at.items() if parent == root)


def idle() -> float:
    """Seconds in which a core had nothing to do, since the machine started, all cores together."""
    return int(Path("/proc/stat").read_text().split(maxsplit=5)[4]) / TICKS


def memory(root: int) -> int:
    """Proportional bytes of a process and its descendants: what is shared counts once."""
    total = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name: state, parent, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
