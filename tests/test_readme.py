"""The README's Python runs as it stands, from the first block to the last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# A file of the reader's own, a fetch, and what needs the event loop of a notebook.
ELSEWHERE = ("path/to/", "hoefling_2024_low_res", "await ")


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    """What the blocks have made so far: later ones build on earlier ones."""
    return {}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][:60])
def test_block_runs(
    block: str,
    namespace: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = block.splitlines()
    if any(word in block for word in ELSEWHERE):
        lines = [line for line in lines if line.startswith(("import ", "from "))]
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)  # some save a file
    exec("\n".join(lines), namespace)
