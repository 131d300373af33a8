"""Predict, observe, explain in real JupyterLab, from the first stroke to the explanation."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
neuron = next(one.index for one in model.module.ground_truth
              if one.preferred_direction_deg == 90 and "ON-OFF" in one.cell_type)
prediction = orw.Prediction(model, "direction", neuron=neuron)
prediction
"""
FIELD = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
prediction = orw.Prediction.field(model, neuron=0)
prediction
"""


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def message(where: Locator) -> Locator:
    return where.locator(".orw-status-message")


def show(lab: Lab, code: str, width: int = 1440) -> Locator:
    lab.page.set_viewport_size({"width": width, "height": 1500})
    lab.new_notebook([code])
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(button(output, "Observe")).to_be_visible()
    return output


def draw_upwards(lab: Lab, plot: Locator) -> None:
    """Draw with the mouse, around the centre, a response to what moves up."""
    box = plot.locator(".orw-curves-stage > svg").bounding_box()
    assert box
    radius = min(box["width"] / 2 - 46, box["height"] / 2 - 30)
    angles = np.arange(0, 361, 15)
    reach = radius * np.clip(0.1 + 0.9 * np.cos(np.radians(angles - 90)), 0.1, 1)
    x = box["x"] + box["width"] / 2 + reach * np.cos(np.radians(angles))
    y = box["y"] + box["height"] / 2 - reach * np.sin(np.radians(angles))
    lab.page.mouse.move(x[0], y[0])
    lab.page.mouse.down()
    for spot in zip(x.tolist(), y.tolist(), strict=True):
        lab.page.mouse.move(*spot, steps=2)
    lab.page.mouse.up()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_from_the_first_stroke_to_the_explanation(lab: Lab, theme: str) -> None:
    output = show(lab, SHOW)
    lab.set_theme(theme)  # type: ignore[arg-type]
    plot = output.locator(".orw-predict")
    plot.scroll_into_view_if_needed()
    expect(button(output, "Observe")).to_be_disabled()
    expect(button(output, "Commit")).to_be_disabled()
    expect(message(output)).to_contain_text("Observe opens when you have committed")
    lab.screenshot(f"prediction-{theme}-empty", output)
    draw_upwards(lab, plot)
    expect(button(output, "Commit")).to_be_enabled()
    expect(button(output, "Observe")).to_be_disabled()
    lab.screenshot(f"prediction-{theme}-drawn", output)
    before = plot.bounding_box()
    button(output, "Commit").click()
    expect(button(output, "Observe")).to_be_enabled()
    expect(button(output, "Commit")).to_be_disabled()
    button(output, "Observe").click()
    expect(message(output)).to_contain_text("Observed. Now explain", timeout=60_000)
    expect(output.locator(".orw-card")).to_contain_text("the right direction")
    expect(output.locator(".orw-measures")).to_contain_text("shape correlation")
    assert plot.bounding_box() == before  # nothing jumped
    output.locator("textarea").fill("It was built to prefer what moves up.")
    output.locator("textarea").blur()
    lab.wait_until("prediction.explanation.startswith('It was built')")
    lab.wait_until("prediction.distance['angle_deg'] <= 15 and prediction.attempts == 1")
    lab.wait_for(
        lambda: plot.get_attribute("data-moving") == "false", what="the difference to be drawn"
    )
    lab.screenshot(f"prediction-{theme}", output)
    lab.page.set_viewport_size({"width": 900, "height": 1500})
    lab.screenshot(f"prediction-{theme}-900", output)
    lab.page.set_viewport_size({"width": 1440, "height": 1500})
    button(output, "Try again").click()
    expect(button(output, "Observe")).to_be_disabled()
    output.get_by_text("Place the preferred direction").click()
    expect(message(output)).to_contain_text("place the preferred direction")
    plot.locator(".orw-predict-handle").press("ArrowUp")
    expect(button(output, "Commit")).to_be_enabled()
    lab.wait_until("prediction.attempts == 2 and prediction.value == 0.0")
    button(output, "Commit").click()
    button(output, "Observe").click()
    expect(output.locator(".orw-card")).to_contain_text("90° away", timeout=60_000)
    lab.screenshot(f"prediction-{theme}-dial", output)
    lab.set_theme("light")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_field_is_picked_and_emerges_from_noise(lab: Lab, theme: str) -> None:
    output = show(lab, FIELD)
    lab.set_theme(theme)  # type: ignore[arg-type]
    cards = output.locator(".orw-choice-group .orw-choice-card")
    expect(cards).to_have_count(6)
    expect(button(output, "Observe")).to_be_disabled()
    lab.wait_until("prediction.value is None")
    cards.nth(1).click()
    lab.wait_until("prediction.value == 'B'")
    button(output, "Commit").click()
    expect(button(output, "Observe")).to_be_enabled()
    button(output, "Observe").click()
    expect(message(output)).to_contain_text("Observed. Now explain", timeout=60_000)
    expect(output.locator(".orw-choice-right")).to_contain_text("its own")
    lab.wait_until("prediction.distance['right'] == (prediction.right == 'B')")
    lab.screenshot(f"prediction-field-{theme}", output)
    lab.page.set_viewport_size({"width": 900, "height": 1500})
    lab.screenshot(f"prediction-field-{theme}-900", output)
    lab.set_theme("light")
