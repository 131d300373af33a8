"""The tabs of the laboratory in real JupyterLab: what is chosen in one is chosen in all."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
lab = orw.RetinaLab()
lab
"""
OTHER = "lab.loader.model = orw.load_model('synthetic')"


def button(where: Locator, name: str) -> Locator:
    visible = where.locator(".jupyter-button:visible")
    return visible.filter(has_text=re.compile(rf"^\s*{name}$"))


def open_tab(output: Locator, name: str) -> None:
    output.locator(".lm-TabBar-tab").filter(has_text=name).click()


def test_what_is_chosen_in_one_tab_is_chosen_in_all(lab: Lab) -> None:
    lab.page.set_viewport_size({"width": 1440, "height": 1700})
    lab.new_notebook([SHOW, OTHER])
    lab.run_cell(0)
    output = lab.output_area(0)
    for name, action in (
        ("Tuning", "Run"),
        ("Receptive fields", "Compute fields"),
        ("Population", "Compute table"),
        ("Stimulus designer", ""),
        ("Best stimulus", "Optimise"),
    ):
        open_tab(output, name)
        if action:
            expect(button(output, action)).to_have_count(1)  # one of this name in sight

    # In the picker of the optimiser, to Tuning and Receptive fields.
    picker = output.locator(".orw-panel select[size]:visible").first
    picker.select_option(index=13)
    lab.wait_until("lab.selection.neurons == (13,)")
    open_tab(output, "Tuning")
    expect(output.locator(".orw-tuning")).to_contain_text("13 · OFF sustained")
    open_tab(output, "Receptive fields")
    button(output, "Compute fields").click()
    fields = output.locator(".orw-receptive-fields")
    expect(fields.locator(".orw-status-message")).to_contain_text("determined")
    expect(fields.locator(".orw-heading").first).to_contain_text("13 · OFF sustained")

    # A tile of the wall, to the optimiser.
    fields.locator(".orw-wall-sizer canvas").click(position={"x": 90, "y": 60})
    lab.wait_until("lab.selection.neurons != (13,)")
    chosen = lab.evaluate_in_kernel("lab.selection.labels[0]").strip("'")
    open_tab(output, "Best stimulus")
    expect(output.locator(".orw-note:visible").first).to_contain_text(chosen)

    # Another model while a run goes on: no tab complains, and all show its first neuron.
    open_tab(output, "Population")
    button(output, "Compute table").click()
    lab.run_cell(1)
    lab.wait_until("lab.population.table is None and lab.population.job is None")
    for name in ("Tuning", "Receptive fields", "Population", "Stimulus designer", "Best stimulus"):
        open_tab(output, name)
        expect(output.locator(".orw-panel .orw-panel:visible").first).to_be_visible()
        expect(output.locator("[role=alert]:visible")).to_have_count(0)
    assert lab.evaluate_in_kernel("lab.selection.neurons") == "(0,)"
