"""The main job in real JupyterLab: press Optimise, watch, pause, step, stop, reload."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "notebooks" / "01_optimise_a_stimulus.ipynb"
CHECKPOINT = ROOT.parent / "shared/data/openretina_checkpoints/hoefling_2024_low_res.ckpt"

ENDLESS = """
import openretina_widgets as orw
lab = orw.RetinaLab(max_iterations=10**6, patience=None)
lab
"""


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def message(where: Locator) -> Locator:
    return where.locator(".orw-status-message")


def iteration(where: Locator) -> int:
    return int(where.locator(".orw-status-value").first.inner_text().split()[0])


def movie(where: Locator) -> Locator:
    return where.locator(".orw-player canvas").first


def show(lab: Lab, kernel: str, code: str = ENDLESS) -> Locator:
    lab.page.set_viewport_size({"width": 1500, "height": 1400})
    lab.new_notebook([code, "1 + 1"], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(button(output, "Optimise")).to_be_visible()
    return output


def test_tutorial_from_first_to_last_press(lab: Lab) -> None:
    lab.page.set_viewport_size({"width": 1500, "height": 1400})
    lab.open(TUTORIAL)
    lab.run_cell(2)
    output = lab.output_area(2)
    output.get_by_placeholder("number or type, e.g. ON").fill("OFF sustained")
    expect(output.locator("select[multiple] option, select[size] option")).to_have_count(8)
    output.locator("select[size]").select_option(index=0)
    expect(output.locator(".orw-note")).to_contain_text("OFF sustained")
    button(output, "Optimise").click()
    expect(message(output)).to_contain_text("Ended:", timeout=180_000)
    expect(message(output)).to_contain_text("Shown is the best stimulus")
    assert (
        lab.evaluate_in_kernel("lab.result.neurons[0][0] == lab.optimizer.picker.neuron") == "True"
    )
    # An OFF centre: the spatial component is blue where it is strongest.
    spatial = lab.canvas_pixels(output.locator(".orw-player").nth(1).locator("canvas").first)
    colours = spatial[..., :3].reshape(-1, 3).astype(int)
    strongest = colours[np.abs(colours - 255).sum(axis=1).argmax()]
    assert strongest[2] > strongest[0]
    lab.screenshot("retina-lab-light", output)
    lab.set_theme("dark")
    lab.screenshot("retina-lab-dark", output)
    background = _luminance(_computed(output.locator(".orw-panel").first, "color", lab))
    assert background > 0.5  # light text on dark
    for text in (output.locator(".bqplot text.axislabel").first, message(output)):
        style = "fill" if "axislabel" in (text.get_attribute("class") or "") else "color"
        assert _luminance(_computed(text, style, lab)) > 0.5
    lab.set_theme("light")


def test_live_pause_step_resume_stop(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    button(output, "Optimise").click()
    lab.wait_for(lambda: iteration(output) > 2, what="the first pictures")

    before = lab.canvas_pixels(movie(output))
    at = iteration(output)
    lab.wait_for(lambda: iteration(output) > at + 5, what="further iterations")
    button(output, "Pause").click()
    expect(message(output)).to_contain_text("Paused")
    after = lab.canvas_pixels(movie(output))
    assert before.shape == after.shape
    assert (before != after).any()  # the movie changes while it runs

    paused_at = iteration(output)
    assert int(lab.evaluate_in_kernel("lab.optimizer.job.iteration")) == paused_at + 1
    button(output, "Step").click()
    lab.wait_for(lambda: iteration(output) == paused_at + 1, what="one step")
    expect(message(output)).to_contain_text("Paused")
    assert int(lab.evaluate_in_kernel("lab.optimizer.job.iteration")) == paused_at + 2

    button(output, "Resume").click()
    lab.wait_for(lambda: iteration(output) > paused_at + 10, what="the run to go on")
    lab.run_cell(1)  # another cell runs meanwhile
    assert "2" in lab.outputs(1)
    assert lab.evaluate_in_kernel("lab.optimizer.job.done()") == "False"

    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user")
    expect(button(output, "Stop")).to_be_disabled()
    steps = "lab.optimizer.job.iteration == int(lab.result.iterations[0]) + 1"
    assert lab.evaluate_in_kernel(steps) == "True"

    button(output, "Reset").click()
    expect(message(output)).to_contain_text("press Optimise")
    assert lab.evaluate_in_kernel("lab.result is None") == "True"


def test_page_reload_shows_the_run_again(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    button(output, "Optimise").click()
    lab.wait_for(lambda: iteration(output) > 2, what="the first pictures")
    lab.reload()
    output = lab.output_area(0)
    expect(button(output, "Stop")).to_be_enabled()
    at = iteration(output)
    lab.wait_for(lambda: iteration(output) > at + 3, what="the run to be shown again")
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user")
    picture = lab.canvas_pixels(movie(output))
    lab.reload()
    output = lab.output_area(0)
    expect(message(output)).to_contain_text("stopped by the user")
    assert lab.canvas_pixels(movie(output)).shape == picture.shape
    # It plays from the start, where this neuron does not care yet and the frames are white.
    lab.wait_for(lambda: lab.canvas_pixels(movie(output)).std() > 0, what="a frame with contrast")


def test_two_views_of_one_lab(lab: Lab) -> None:
    lab.new_notebook([ENDLESS, "lab"])
    lab.run_cell(0)
    lab.run_cell(1)
    first, second = lab.output_area(0), lab.output_area(1)
    button(second, "Optimise").click()
    for output in (first, second):
        lab.wait_for(lambda output=output: iteration(output) > 3, what="pictures in both views")
        shown = lambda output=output: lab.canvas_pixels(movie(output)).std() > 0  # noqa: E731
        lab.wait_for(shown, what="a movie in both views")
    button(first, "Stop").click()
    for output in (first, second):
        expect(message(output)).to_contain_text("stopped by the user")


def test_failure_is_said_where_the_user_looks(lab: Lab, kernel_name: str) -> None:
    output = show(
        lab,
        kernel_name,
        """
import torch, openretina_widgets as orw
class Fails(torch.nn.Module):
    calls = 0
    def forward(self, stimulus):
        self.calls += 1
        if self.calls > 20:
            raise RuntimeError("the amplifier is <b>off</b>")
        return stimulus.mean(dim=(1, 3, 4)).unsqueeze(-1)
optimizer = orw.StimulusOptimizer(orw.RetinaModel(Fails(), input_shape=(1, 8, 8)))
optimizer
""",
    )
    button(output, "Optimise").click()  # no norm, no range: refused in words
    expect(output.get_by_role("alert")).to_contain_text("without any bound")
    norm = output.get_by_label("Norm")
    norm.fill("2")
    norm.press("Enter")
    button(output, "Optimise").click()
    expect(output.get_by_role("alert")).to_have_text("RuntimeError: the amplifier is <b>off</b>")
    expect(button(output, "Stop")).to_be_disabled()


def test_kernel_restart_is_said(lab: Lab) -> None:
    output = show(lab, "python3")
    button(output, "Optimise").click()
    lab.wait_for(lambda: iteration(output) > 2, what="the first pictures")
    lab.restart_kernel()
    expect(output.get_by_role("alert")).to_contain_text("Run this cell again")
    lab.run_cell(0)
    output = lab.output_area(0)
    button(output, "Optimise").click()
    lab.wait_for(lambda: iteration(output) > 2, what="a new run")
    button(output, "Stop").click()


def test_checkpoint_of_openretina(lab: Lab, kernel_name: str) -> None:
    if not CHECKPOINT.exists():
        pytest.skip("the folder with OpenRetina checkpoints is absent")
    output = show(lab, kernel_name, ENDLESS)
    copy = lab.server.root / CHECKPOINT.name
    shutil.copy(CHECKPOINT, copy)
    source = output.get_by_placeholder("a name, the path of a checkpoint")
    source.fill(str(copy) + ".gone")
    source.press("Tab")
    button(output, "Load").click()
    expect(output.get_by_role("alert")).to_contain_text("hoefling_2024_low_res.ckpt")
    source.fill(str(copy))
    source.press("Tab")
    button(output, "Load").click()
    expect(output.locator(".orw-card")).to_contain_text("hoefling_2024_low_res")
    button(output, "Optimise").click()
    lab.wait_for(lambda: iteration(output) > 3, what="the run on the checkpoint", timeout=60)
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user")
    lab.screenshot("retina-lab-checkpoint", output)


def _computed(target: Locator, name: str, lab: Lab) -> str:
    return str(target.evaluate(f"element => getComputedStyle(element)['{name}']"))


def _luminance(colour: str) -> float:
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
