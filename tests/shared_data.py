"""Recordings and checkpoints beside the repository, which stay where they are."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def shared_data(name: str) -> Path:
    """Return a folder of the data beside the repository; skip the test where it is absent."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the data folder {name!r} is not beside the repository")
    return folder
