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
    expect(button(output, "Optimise")).to_be_disabled()  # the run is not thrown away by a click
    button(output, "Stop").click()
    expect(message).to_contain_text("Stopped by the user: ")
    expect(button(output, "Optimise")).to_be_enabled()


STORED = """
import tempfile
import openretina_widgets as orw
model, folder = orw.load_model("synthetic"), tempfile.mkdtemp()
settings = dict(max_iterations=3, time_steps=25)
orw.optimize_population(model, range(20), folder=folder, **settings)
wall = orw.StimulusWall(model, folder=folder, **settings)
wall
"""


def test_a_narrow_page_opens_with_what_a_folder_holds(lab: Lab) -> None:
    lab.page.set_viewport_size({"width": 660, "height": 1000})
    lab.new_notebook([STORED])
    lab.run_cell(0)
    output = lab.output_area(0)
    message = output.locator(".orw-status-message")
    expect(message).to_contain_text("20 of 84 neurons are in ")
    expect(output.locator(".orw-wall-count")).to_have_text("84 neurons")
    expect(output.locator(".orw-player")).not_to_have_class(re.compile("orw-player-empty"))
    shown = lab.evaluate_in_kernel(
        "int((wall.wall.images == wall.wall.images).all((1, 2, 3)).sum())"
    )
    assert shown == "20"
    wall, legend = output.locator(".orw-wall"), output.locator(".orw-wall-panels")
    expect(legend).to_contain_text("UV")
    room, taken = wall.bounding_box(), legend.bounding_box()
    assert taken["x"] + taken["width"] <= room["x"] + room["width"]
    assert wall.evaluate("node => node.scrollWidth <= node.clientWidth")
    hint = output.locator(".orw-plot-message").first
    expect(hint).to_have_text("Click on a stimulus to see this.")
    # Legible on the rings behind it: an opaque plate, as large as its words.
    back = hint.evaluate("node => getComputedStyle(node).backgroundColor")
    assert back.startswith("rgb("), back
    assert hint.bounding_box()["height"] < 60
    lab.page.set_viewport_size({"width": 660, "height": 2300})
    lab.screenshot("stimulus-wall-narrow", output)
