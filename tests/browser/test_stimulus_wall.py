"""The wall of best stimuli in real JupyterLab: they emerge, are sorted, chosen and played."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
wall = orw.StimulusWall(orw.load_model("synthetic"), max_iterations=60, patience=None)
wall
"""


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def test_stimuli_emerge_are_sorted_chosen_and_played(lab: Lab) -> None:
    lab.page.set_viewport_size({"width": 1440, "height": 1000})
    lab.new_notebook([SHOW, "1 + 1"])
    lab.run_cell(0)
    output = lab.output_area(0)
    message = output.locator(".orw-status-message")
    expect(message).to_contain_text("Press Optimise")
    button(output, "Optimise").click()
    lab.wait_until("wall.wall.stats.sent >= 3")
    assert lab.evaluate_in_kernel("wall.job.done()") == "False", "pictures come meanwhile"
    # Field and tuning come while the run goes on, and nothing moves when they do.
    heading = output.locator(".orw-neuron-detail .orw-heading").first
    maps = output.locator(".orw-neuron-detail .orw-retina")
    places = [maps.nth(k).bounding_box() for k in range(2)]
    where = output.locator(".orw-wall-sizer canvas")
    where.click(position={"x": 60, "y": 60})
    chosen = lab.evaluate_in_kernel("wall.selection.neuron")
    expect(heading).to_have_text(re.compile(rf"Receptive field: {chosen}\b[^…]*$"))
    lab.wait_until("wall.detail.field is not None and wall.detail.tuning is not None")
    assert [maps.nth(k).bounding_box() for k in range(2)] == places
    assert lab.evaluate_in_kernel("wall.job.done()") == "False"
    button(output, "Pause").click()
    expect(message).to_contain_text("Paused")
    button(output, "Resume").click()
    expect(message).to_contain_text("84 of 84 neurons have ended", timeout=120_000)

    output.get_by_label("Order", exact=True).select_option("score")
    lab.wait_until("wall.wall.neurons[0] != 0")
    canvas = output.locator(".orw-wall-sizer canvas")
    canvas.click(position={"x": 60, "y": 60})
    lab.wait_until("wall.selection.neuron != 0")  # the wall stays where the chosen one is seen
    lab.wait_until("wall.player.stimulus is not None")
    best = "wall.result.of(wall.selection.neuron).stimulus[0].numpy()"
    lab.wait_until(f"bool((wall.player.stimulus == {best}).all())")
    scores = "[float(wall.result.of(n).score[0]) for n in wall.wall.neurons]"
    assert lab.evaluate_in_kernel(f"{scores} == sorted({scores}, reverse=True)") == "True"
    lab.page.set_viewport_size({"width": 1440, "height": 1700})
    for theme in ("light", "dark"):
        lab.set_theme(theme)
        lab.screenshot(f"stimulus-wall-{theme}", output)
    lab.set_theme("light")
    expect(output.locator(".orw-player")).not_to_have_class(re.compile("orw-player-empty"))

    button(output, "Optimise").click()
    lab.wait_until("not wall.job.done() and wall.job.iteration > 2")
    button(output, "Stop").click()
    expect(message).to_contain_text("after stopped by the user")
