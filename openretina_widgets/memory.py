"""How much memory is free."""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN = 4.0 * 2**30  # where the system does not tell


def free_memory() -> float:
    """Return the bytes of main memory that can be had without swapping, as far as it is known.

    No more than JupyterHub leaves to this process: it says in ``MEM_LIMIT`` how many bytes a
    student may take, and a kernel that takes more is killed.
    """
    free = _free_on_the_machine()
    limit = os.environ.get("MEM_LIMIT", "")
    if limit.isdecimal() and int(limit) > 0:
        free = min(free, max(0.0, float(int(limit)) - _resident()))
    return free


def _resident() -> float:
    """Return the bytes that this process has in memory, 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:  # not Linux
        return 0.0
    return float(int(pages) * os.sysconf("SC_PAGE_SIZE"))


def _free_on_the_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):  # Windows and macOS do not tell
        return _UNKNOWN
