"""A question whose check never ends is stopped by the kernel's interrupt, in real kernels."""

from __future__ import annotations

import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tests.kernels import PATIENCE, running_kernel


@pytest.mark.parametrize("name", ["python3", "ipykernel6"])
def test_a_check_that_never_ends_is_stopped_and_said(name: str, tmp_path: Path) -> None:
    code = "import pathlib\npathlib.Path('begun').touch()\nwhile True:\n    pass"
    said = {"role": "question", "question": {"id": "q", "kind": "check", "code": code}}
    asked = new_markdown_cell("Why?", metadata={"openretina_widgets": {"tutorial": said}})
    nbformat.write(new_notebook(cells=[asked]), tmp_path / "endless.ipynb")
    with running_kernel(name, tmp_path) as kernel:
        kernel.run(
            "import openretina_widgets as orw\n"
            "stepper = orw.TutorialStepper('endless.ipynb', progress_folder='.')\n"
            "button = stepper._panels['q']._button"
        )
        click = {"method": "custom", "content": {"event": "click"}}
        comm = kernel.run("print(button.comm.comm_id)")
        kernel.comm("comm_msg", {"comm_id": comm, "data": click}, kernel.subshell)
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline, "the check did not begin"
            time.sleep(0.05)
        kernel.manager.interrupt_kernel()
        kernel.until("'q' in stepper.progress.answers and not button.disabled")
        kept = kernel.run("print(stepper.progress.answers['q']['feedback'])")
        assert kept == "The check was stopped, so this answer is not judged."
