"""The card of a model in real JupyterLab: as an output, in the loader, light and dark."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

MODEL = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
model.name = "<img src=x onerror=alert(1)>"
model
"""
# The colour of each text of the card, and the first background behind it that is not transparent.
COLOURS = """card => [...card.querySelectorAll('div, dt, dd')].map(part => {
  let behind = part;
  while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') {
    behind = behind.parentElement;
  }
  return [getComputedStyle(part).color, getComputedStyle(behind).backgroundColor];
})"""


def luminance(colour: str) -> float:
    """Return the relative luminance of a CSS colour, as WCAG 2 defines it."""
    red, green, blue = [float(n) for n in re.findall(r"[\d.]+", colour)][:3]
    linear = [
        n / 12.92 if (n := value / 255) <= 0.03928 else ((n + 0.055) / 1.055) ** 2.4
        for value in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def opaque(colour: str, behind: str) -> str:
    """Return what a colour with transparency looks like on a background."""
    *text, alpha = [float(n) for n in re.findall(r"[\d.]+", f"{colour} 1")][:4]
    below = [float(n) for n in re.findall(r"[\d.]+", behind)][:3]
    mixed = (alpha * a + (1 - alpha) * b for a, b in zip(text, below, strict=True))
    return "rgb(" + ", ".join(f"{value:.1f}" for value in mixed) + ")"


def least_contrast(card: Locator) -> float:
    ratios = []
    for colour, behind in card.evaluate(COLOURS):
        light, dark = sorted((luminance(opaque(colour, behind)), luminance(behind)), reverse=True)
        ratios.append((light + 0.05) / (dark + 0.05))
    assert len(ratios) > 30
    return min(ratios)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_card_is_read_in_both_themes(lab: Lab, theme: Literal["light", "dark"]) -> None:
    lab.page.set_viewport_size({"width": 1100, "height": 1000})
    lab.new_notebook([MODEL])
    lab.set_theme(theme)
    lab.run_cell(0)
    card = lab.output_area(0).locator(".orw-model-card")
    expect(card.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
    expect(card.locator("img")).to_have_count(0)
    for words in ("84 in 1 session", "30 Hz", "50 µm on the retina", "19 frames, 633 ms"):
        expect(card.get_by_text(words)).to_be_visible()
    lab.screenshot(f"card-{theme}", card)
    assert least_contrast(card) >= 4.5
    for i in range(card.locator("dt").count()):
        label, value = (card.locator(part).nth(i).bounding_box() for part in ("dt", "dd"))
        assert label["y"] == value["y"]  # side by side
        assert label["height"] == pytest.approx(20, abs=2)  # a line each


def test_loader_unfolds_the_card(lab: Lab) -> None:
    lab.page.set_viewport_size({"width": 1100, "height": 1000})
    lab.new_notebook(["import openretina_widgets as orw; orw.ModelLoader()"])
    lab.run_cell(0)
    card = lab.output_area(0).locator(".orw-model-card")
    expect(card).to_be_hidden()
    lab.output_area(0).get_by_text("The whole card").click()
    expect(card).to_be_visible()
    lab.screenshot("card-loader", lab.output_area(0))
