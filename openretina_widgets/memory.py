"""How much memory is free."""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN = 4.0 * 2**30  # where the system does not tell


def free_memory() -> float:
    """Return the bytes of main memory that can be had without swapping, as far as it is known."""
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
