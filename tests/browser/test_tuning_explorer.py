"""The tuning explorer in real JupyterLab: run, pause, step, points, sliders, every experiment."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
explorer = orw.TuningExplorer(model)
explorer.selection.choose([40, 3])
explorer
"""
EXPERIMENTS = ["direction", "orientation", "spatial frequency", "temporal frequency", "contrast",
               "size", "flash", "chirp", "moving bar", "chromatic"]  # fmt: skip


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def message(where: Locator) -> Locator:
    return where.locator(".orw-status-message")


def show(lab: Lab, kernel: str = "python3", width: int = 1440) -> Locator:
    lab.page.set_viewport_size({"width": width, "height": 1700})
    lab.new_notebook([SHOW], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(button(output, "Run")).to_be_visible()
    return output


def test_every_control(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    plot = output.locator(".orw-curves").first
    marks = plot.locator(".orw-curves-stage .orw-curves-mark")

    # One condition at a time, then the rest.
    button(output, "Step").click()
    expect(marks).to_have_count(2)
    button(output, "Step").click()
    expect(marks).to_have_count(4)
    expect(message(output)).to_contain_text("Paused")
    button(output, "Resume").click()
    expect(message(output)).to_contain_text("Done")
    expect(marks).to_have_count(16)
    expect(plot.locator(".orw-curves-note")).to_contain_text("0° = right, 90° = up")
    expect(output.locator(".orw-measures")).to_contain_text("40 · ON-OFF DS 270°")

    # A point is chosen by a key, then by a click.
    plot.press("Home")
    plot.press("ArrowRight")
    lab.wait_until("explorer._condition.stimulus.parameters['direction_deg'] == 45.0")
    box = plot.locator(".orw-curves-stage > svg").bounding_box()
    assert box
    lab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 60)
    lab.wait_until("explorer._condition.stimulus.parameters['direction_deg'] == 270.0")
    expect(plot.locator(".orw-curves-readout")).to_contain_text("direction 270°")

    # A slider: the response follows.
    trace = output.locator(".orw-curves").nth(1).locator(".orw-curves-stage .orw-curves-line").first
    before = trace.get_attribute("d")
    slider = output.locator(".widget-hslider").filter(has_text="Contrast").first
    slider.locator(".noUi-handle").press("ArrowLeft")
    lab.wait_for(lambda: trace.get_attribute("d") != before, what="another response")

    # Other neurons, without another run.
    output.get_by_placeholder("number or type, e.g. ON").fill("OFF sustained")
    output.locator("select[multiple]").select_option(index=[0])
    expect(output.locator(".orw-measures")).to_contain_text("OFF sustained")
    expect(message(output)).to_contain_text("Done")

    # Every experiment runs, and can be stopped.
    chosen = output.get_by_label("Experiment")
    titles = chosen.locator("option").all_inner_texts()  # with spaces that do not break
    assert [title.replace("\xa0", " ") for title in titles] == EXPERIMENTS
    for title in titles:
        chosen.select_option(label=title)
        expect(message(output)).to_contain_text("Press Run")
        button(output, "Run").click()
        expect(message(output)).to_contain_text("Done", timeout=60_000)
    chosen.select_option(label="size")
    button(output, "Step").click()
    expect(message(output)).to_contain_text("Paused", timeout=60_000)
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(lab: Lab, theme: str) -> None:
    output = show(lab)
    lab.set_theme(theme)  # type: ignore[arg-type]
    button(output, "Run").click()
    expect(message(output)).to_contain_text("Done")
    output.locator(".orw-curves").first.press("Home")
    lab.screenshot(f"explorer-{theme}", output)
    output.get_by_label("Experiment").select_option(label="size")
    button(output, "Run").click()
    expect(message(output)).to_contain_text("Done", timeout=60_000)
    lab.page.set_viewport_size({"width": 900, "height": 2600})
    lab.screenshot(f"explorer-{theme}-900", output)
    lab.set_theme("light")
