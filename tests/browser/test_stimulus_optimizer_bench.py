"""The optimiser's bench in real JupyterLab: looking back, seeds, before and after, objectives."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
optimizer = orw.StimulusOptimizer(model, neuron=5, max_iterations=40, patience=None)
optimizer
"""


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def message(where: Locator) -> Locator:
    return where.locator(".orw-status-message")


def show(lab: Lab, code: str = SHOW, height: int = 1500) -> Locator:
    lab.page.set_viewport_size({"width": 1500, "height": height})
    lab.new_notebook([code])
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(button(output, "Optimise")).to_be_visible()
    return output


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(lab: Lab, theme: str) -> None:
    output = show(lab, SHOW.replace("neuron=5", "neuron=5, seeds=3"), height=2400)
    lab.set_theme(theme)  # type: ignore[arg-type]
    lab.screenshot(f"bench-empty-{theme}", output)
    button(output, "Optimise").click()
    expect(message(output)).to_contain_text("Ended:", timeout=120_000)
    button(output, "Keep as before").click()
    lab.evaluate_in_kernel("optimizer._settings.goal.goal.value = 'decrease'")
    button(output, "Optimise").click()
    expect(message(output)).to_contain_text("Decreasing")
    expect(message(output)).to_contain_text("Ended:", timeout=120_000)
    output.get_by_text("More settings").click()
    lab.screenshot(f"bench-{theme}", output)
    lab.set_theme("light")
