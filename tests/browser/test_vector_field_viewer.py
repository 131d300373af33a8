"""The vector field in real JupyterLab: run, stop, points, neurons, what it looks like."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
viewer = orw.VectorFieldViewer(model)
viewer.selection.choose([24, 72])
viewer
"""


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def message(where: Locator) -> Locator:
    return where.locator(".orw-status-message")


def choose(where: Locator, label: str, words: str) -> None:
    menu = where.get_by_label(label, exact=True)
    options = menu.locator("option").all_inner_texts()  # with spaces that do not break
    (option,) = [text for text in options if text.replace("\xa0", " ") == words]
    menu.select_option(label=option)


def show(lab: Lab, kernel: str = "python3") -> Locator:
    lab.page.set_viewport_size({"width": 1500, "height": 1500})
    lab.new_notebook([SHOW], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(button(output, "Run")).to_be_visible()
    return output


def test_every_control(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    button(output, "Run").click()
    expect(message(output)).to_contain_text("Done: 24 images", timeout=60_000)
    plane = output.locator(".orw-plane")
    expect(plane.locator(".orw-plane-point")).to_have_count(24)
    expect(plane.locator(".orw-map-arrow")).to_have_count(1)
    expect(output.locator(".orw-measures")).to_contain_text("72 · linear control")

    # A key and a click choose an image; its LSTA is shown.
    plane.press("Home")
    lab.wait_until("viewer.plane.clicked == 0")
    expect(output).to_contain_text("Image 0: response")
    plane.locator(".orw-plane-point").nth(7).click(force=True)
    lab.wait_until("viewer.plane.clicked is not None and viewer.plane.clicked != 0")
    expect(plane.locator(".orw-plane-readout")).to_contain_text("gradient (")
    lab.wait_until("f'Image {viewer.plane.clicked}: response' in viewer._heading.value")

    # Another neuron, without another run.
    output.get_by_placeholder("number or type, e.g. ON").fill("OFF sustained")
    output.locator("select[multiple]").select_option(index=[0])
    expect(plane.locator(".orw-plane-title")).to_contain_text("OFF sustained")

    # Another plane takes the old pictures away; a run can be stopped.
    choose(output, "Plane", "first components of the images")
    expect(message(output)).to_contain_text("Press Run")
    expect(plane.locator(".orw-plane-point")).to_have_count(0)
    lab.evaluate_in_kernel("viewer.start(paused=True).step() and None")
    expect(message(output)).to_contain_text("Paused", timeout=60_000)
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user", timeout=60_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(lab: Lab, theme: str) -> None:
    output = show(lab)
    lab.set_theme(theme)  # type: ignore[arg-type]
    button(output, "Run").click()
    expect(message(output)).to_contain_text("Done", timeout=60_000)
    expect(output).to_contain_text("cosine to the mean LSTA")
    # Image above LSTA, green beside UV, and all four beside the plane.
    maps = output.locator(".orw-retina")
    boxes = [maps.nth(k).bounding_box() for k in range(4)]
    places = [(box["x"], box["y"]) for box in boxes if box is not None]
    assert places[0][1] == places[1][1] < places[2][1] == places[3][1]
    assert places[0][0] == places[2][0] < places[1][0] == places[3][0]
    plane = output.locator(".orw-plane").bounding_box()
    assert plane is not None
    assert plane["x"] + plane["width"] <= places[0][0]
    assert abs(plane["y"] - places[0][1]) < 60  # one row, the maps below their heading
    lab.screenshot(f"vector-field-{theme}", output)
    lab.set_theme("light")
