"""The response gradient in real JupyterLab: run, stop, points, neurons, what it looks like."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
viewer = orw.ResponseGradientViewer(model)
viewer.selection.choose([68, 24])
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
    lab.page.set_viewport_size({"width": 1440, "height": 1700})
    lab.new_notebook([SHOW], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(button(output, "Run")).to_be_visible()
    return output


def test_every_control(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    button(output, "Run").click()
    expect(message(output)).to_contain_text("Done: full-field flash", timeout=60_000)
    plot = output.locator(".orw-map").first
    expect(plot.locator(".orw-map-cell")).to_have_count(2 * 81)
    expect(plot.locator(".orw-map-arrow")).to_have_count(2)
    expect(plot.locator(".orw-map-note")).to_contain_text("Arrows: gradient")
    expect(output.locator(".orw-measures")).to_contain_text("135°")

    # A click plays the stimulus of the point.
    plot.locator(".orw-map-cell").first.click()
    lab.wait_until("viewer.map.clicked == 0")
    expect(output).to_contain_text("Stimulus of this point: green −1, UV −1")
    plot.press("ArrowUp")
    lab.wait_until("viewer.map.place == (0, 1)")
    expect(plot.locator(".orw-map-readout")).to_contain_text("gradient (")
    played = "viewer.player.stimulus[:, -1, 0, 0].tolist()"
    lab.wait_until(f"{played} == [-1.0, -0.75]")

    # Another neuron, without another run.
    output.get_by_placeholder("number or type, e.g. ON").fill("OFF sustained")
    output.locator("select[multiple]").select_option(index=[0])
    expect(output.locator(".orw-measures")).to_contain_text("225°")

    # Another stimulus takes the old pictures away; a run of it can be stopped.
    choose(output, "Grid", "17 × 17")
    choose(output, "Stimulus", "flash, on each receptive field")
    expect(message(output)).to_contain_text("Press Run")
    expect(plot.locator(".orw-map-arrow")).to_have_count(0)
    button(output, "Run").click()
    expect(message(output)).to_contain_text("17 × 17 contrasts", timeout=60_000)
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user", timeout=60_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(lab: Lab, theme: str) -> None:
    output = show(lab)
    lab.set_theme(theme)  # type: ignore[arg-type]
    button(output, "Run").click()
    expect(message(output)).to_contain_text("Done", timeout=60_000)
    output.locator(".orw-map").first.press("End")
    expect(output).to_contain_text("Stimulus of this point: green +1, UV +1")
    lab.screenshot(f"response-gradient-{theme}", output)
    lab.set_theme("light")
