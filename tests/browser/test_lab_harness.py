"""The harness itself, with plain ipywidgets: what it says must be what a user sees."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest

from tests.browser.lab import CellError, Lab, LabServer, expect
from tests.kernels import VERSIONS

pytestmark = pytest.mark.browser

BUTTON = """\
import time
import ipywidgets

clicks = []
button = ipywidgets.Button(description="Press")
label = ipywidgets.Label("not pressed")

def press(button):
    clicks.append(time.time())
    label.value = f"pressed {len(clicks)} times"

button.on_click(press)
ipywidgets.VBox([button, label])
"""


def test_a_click_reaches_python_and_its_answer_the_page(lab: Lab, kernel_name: str) -> None:
    lab.new_notebook([BUTTON], kernel=kernel_name)
    lab.run_cell(0)
    shown = lab.output_area(0)
    expect(shown).to_contain_text("not pressed")
    clicked = lab.click(shown.get_by_role("button", name="Press"))
    expect(shown).to_contain_text("pressed 1 times")
    assert lab.evaluate_in_kernel("label.value") == "'pressed 1 times'"
    delay = float(lab.evaluate_in_kernel("print(clicks[0])")) - clicked
    assert -0.002 < delay < 10  # one clock, read in ms in the page
    version = lab.evaluate_in_kernel("import ipykernel; print(ipykernel.__version__)")
    assert version.startswith(VERSIONS[kernel_name])


def test_widgets_live_on_after_a_reload(lab: Lab, kernel_name: str) -> None:
    lab.new_notebook([BUTTON], kernel=kernel_name)
    lab.run_cell(0)
    lab.evaluate_in_kernel("label.value = 'set before the reload'")
    lab.reload()
    shown = lab.output_area(0)
    expect(shown).to_contain_text("set before the reload")
    lab.click(shown.get_by_role("button", name="Press"))
    expect(shown).to_contain_text("pressed 1 times")


def test_a_restarted_kernel_is_empty_and_ready(lab: Lab, kernel_name: str) -> None:
    lab.new_notebook([BUTTON], kernel=kernel_name)
    lab.run_cell(0)
    process = lab.evaluate_in_kernel("import os; print(os.getpid())")
    lab.restart_kernel()
    assert lab.evaluate_in_kernel("import os; print(os.getpid())") != process
    assert lab.evaluate_in_kernel("'clicks' in globals()") == "False"
    lab.run_cell(0)
    lab.click(lab.output_area(0).get_by_role("button", name="Press"))
    expect(lab.output_area(0)).to_contain_text("pressed 1 times")


def test_code_is_evaluated_while_a_thread_runs(lab: Lab, kernel_name: str) -> None:
    thread = """\
import threading, time
turns, stop = 0, threading.Event()
def work():
    global turns
    while not stop.is_set():
        turns += 1
        time.sleep(0.001)
threading.Thread(target=work, daemon=True).start()
"""
    lab.new_notebook([thread], kernel=kernel_name)
    lab.run_cell(0)
    turns = int(lab.evaluate_in_kernel("turns"))
    lab.wait_until(f"turns > {turns + 10}")
    lab.evaluate_in_kernel("stop.set()")


def test_cells_run_to_their_end(lab: Lab, tmp_path: Path) -> None:
    slow = "import time; time.sleep(0.5); print('slept'); 6 * 7"
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell("# Title"), v4.new_code_cell(slow), v4.new_code_cell("1 / 0")]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "given.ipynb")
    lab.open(tmp_path / "given.ipynb")
    lab.run_cell(1)
    assert lab.outputs(1).split() == ["slept", "42"]
    with pytest.raises(CellError, match="division by zero"):
        lab.run_cell(2)
    lab.run_cell(2, allow_error=True)
    assert "ZeroDivisionError" in lab.outputs(2)
    with pytest.raises(CellError, match="division by zero"):
        lab.run_all()
    with pytest.raises(CellError, match="nothing_of_that_name"):
        lab.evaluate_in_kernel("nothing_of_that_name")


def test_a_cell_can_be_sent_without_waiting(lab: Lab) -> None:
    lab.new_notebook(["import time; time.sleep(1); end = time.time()", "time.sleep(600)"])
    lab.run_cell(0, wait=False)
    sent = lab.page.evaluate("Date.now() / 1000")
    assert float(lab.evaluate_in_kernel("print(end)")) > sent  # which waited for the cell
    lab.run_cell(1, wait=False)  # the end of the test does not wait for this one


def test_themes_change_the_page(lab: Lab) -> None:
    lab.new_notebook([BUTTON])
    lab.run_cell(0)

    def background() -> float:
        style = "getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor"
        return float(np.mean([int(part) for part in re.findall(r"\d+", lab.page.evaluate(style))]))

    assert background() > 200
    lab.set_theme("dark")
    assert background() < 60
    assert lab.screenshot("harness-dark").stat().st_size > 10_000
    lab.set_theme("light")
    assert background() > 200


def test_canvas_pixels_are_what_was_drawn(lab: Lab) -> None:
    lab.new_notebook(
        [
            """\
import anywidget
class Square(anywidget.AnyWidget):
    _esm = '''
    export default {render({el}) {
      const canvas = document.createElement("canvas");
      canvas.width = 30; canvas.height = 20;
      const context = canvas.getContext("2d");
      context.fillStyle = "#ff8000"; context.fillRect(10, 0, 20, 5);
      el.append(canvas);
    }}'''
Square()
"""
        ]
    )
    lab.run_cell(0)
    pixels = lab.canvas_pixels(lab.output_area(0).locator("canvas"))
    expected = np.zeros((20, 30, 4), dtype=np.uint8)
    expected[:5, 10:] = (255, 128, 0, 255)
    np.testing.assert_array_equal(pixels, expected)


def test_nothing_that_goes_wrong_is_missed(lab: Lab, kernel_name: str) -> None:
    failing = """\
import ipywidgets
button = ipywidgets.Button(description="Fail")
button.on_click(lambda button: 1 / 0)
button
"""
    lab.new_notebook([failing], kernel=kernel_name)
    lab.run_cell(0)
    lab.click(lab.output_area(0).get_by_role("button", name="Fail"))
    lab.page.evaluate("console.error('said in the page')")
    lab.page.evaluate("setTimeout(() => { throw new Error('thrown in the page') })")
    lab.page.evaluate("fetch('http://outside.invalid/').catch(() => {})")
    expected = ("ZeroDivisionError", "said in the page", "thrown in the page", "outside.invalid")

    def missed() -> list[str]:
        seen = "\n".join(lab.complaints())
        return [word for word in expected if word not in seen]

    lab.wait_for(lambda: not missed())
    lab.allow_error("ZeroDivisionError|(said|thrown) in the page|net::ERR_|CORS")
    assert lab.complaints() == ["request left the machine: http://outside.invalid/"]
    lab.outside_requests.clear()


def test_memory_is_that_of_server_and_kernel(lab: Lab) -> None:
    lab.new_notebook(["import numpy"])
    lab.run_cell(0)
    before = lab.memory()
    lab.evaluate_in_kernel("held = numpy.ones(2**24)")  # 128 MiB
    after = lab.memory()
    assert before.server > 2**25
    assert after.kernel - before.kernel == pytest.approx(2**27, rel=0.2)


@pytest.mark.usefixtures("lab_server")
def test_a_server_ends_all_that_it_started_and_nothing_else(tmp_path: Path) -> None:
    wait = [sys.executable, "-c", "input()"]
    with subprocess.Popen(wait, stdin=subprocess.PIPE) as bystander:
        with LabServer(tmp_path) as server:
            server.start_kernel()
            children = psutil.Process().children(recursive=True)
            own = [child for child in children if str(tmp_path) in " ".join(child.cmdline())]
            assert len(own) == 2  # server and kernel
        assert not any(process.is_running() for process in own)
        assert bystander.poll() is None
