"""A lesson's code leaves the page a core, and hands torch's threads back."""

from __future__ import annotations

import torch

from openretina_widgets.insilico.compute import live_threads
from openretina_widgets.tutorials.code_cell import _threads


def test_code_runs_with_the_threads_of_a_watched_run_and_they_are_put_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(live_threads() + 1)
    try:
        with _threads():
            assert torch.get_num_threads() == live_threads()
        assert torch.get_num_threads() == live_threads() + 1
        with _threads():
            torch.set_num_threads(live_threads() + 2)  # the code's own choice stays
        assert torch.get_num_threads() == live_threads() + 2
    finally:
        torch.set_num_threads(before)
