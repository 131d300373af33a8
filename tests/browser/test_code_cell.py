"""Code of a lesson in real JupyterLab: typed, run, awaited, wrong, endless and stopped."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
from openretina_widgets.tutorials.code_cell import CodeCell
cell = CodeCell("x = 6\\nx * 7")
cell
"""
ENDLESS = [
    "while True: pass",
    "import time; time.sleep(1e9)",
    "import asyncio; await asyncio.sleep(1e9)",
]
UPDATED = """
import asyncio
from IPython.display import clear_output, display
print("forgotten")
clear_output(wait=True)
handle = display("first", display_id=True)
await asyncio.sleep(0.1)
handle.update("second")
async def later():
    await asyncio.sleep(0.1)
    print("late")
await asyncio.create_task(later())
"""


def show(lab: Lab, kernel: str) -> Locator:
    lab.new_notebook([SHOW], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(output.locator(".orw-code textarea")).to_be_visible()
    return output


def press(output: Locator, name: str) -> None:
    output.locator(".orw-code-button").filter(has_text=re.compile(rf"^{name}$")).click()


def test_code_is_typed_and_run_in_the_users_namespace(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    note = output.locator(".orw-code-note")
    press(output, "Run")
    expect(note).to_have_text("Ran")
    expect(output.locator(".jp-OutputArea")).to_contain_text("42")
    assert lab.evaluate_in_kernel("x") == "6"
    area = output.locator("textarea")
    area.click()
    lab.page.keyboard.press("Control+a")
    lab.page.keyboard.type("for k in range(3):\nprint('k', k)\n")
    assert area.input_value() == "for k in range(3):\n    print('k', k)\n    "
    lab.page.keyboard.press("Shift+Enter")
    expect(output.locator(".jp-OutputArea")).to_contain_text("k 2")
    expect(output.locator(".jp-OutputArea")).not_to_contain_text("42")
    press(output, "Reset")
    expect(area).to_have_value("x = 6\nx * 7")
    press(output, "Reset")
    assert "print" in area.input_value()


def fill(output: Locator, code: str) -> None:
    output.locator("textarea").fill(code)


def test_await_error_widget_and_figure_appear_in_place(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    shown, note = output.locator(".jp-OutputArea"), output.locator(".orw-code-note")
    fill(output, "import asyncio\nawait asyncio.sleep(0.1)\nprint('waited')")
    press(output, "Run")
    expect(shown).to_contain_text("waited")
    fill(output, "1 / 0")
    press(output, "Run")
    expect(note).to_contain_text("ZeroDivisionError: see below")
    expect(shown).to_contain_text("division by zero")
    fill(output, "import ipywidgets\nipywidgets.IntSlider(description='deep')")
    press(output, "Run")
    expect(shown.locator(".widget-slider")).to_be_visible()
    fill(output, "import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    press(output, "Run")
    expect(shown.locator("img")).to_be_visible()
    lab.screenshot("code-cell")
    fill(output, UPDATED)
    press(output, "Run")
    expect(shown).to_contain_text("second")
    expect(shown).not_to_contain_text("first")
    expect(shown).not_to_contain_text("forgotten")
    expect(shown).to_contain_text("late")
    fill(output, "def broken(:")
    press(output, "Run")
    expect(note).to_contain_text("SyntaxError")


@pytest.mark.parametrize("code", ENDLESS, ids=["computes", "sleeps", "waits"])
def test_endless_code_is_stopped_and_the_kernel_lives(
    lab: Lab, kernel_name: str, code: str
) -> None:
    output = show(lab, kernel_name)
    note = output.locator(".orw-code-note")
    fill(output, f"y = 5\nprint('begun', flush=True)\n{code}")
    press(output, "Run")
    expect(output.locator(".jp-OutputArea")).to_contain_text("begun")
    press(output, "Stop")
    expect(note).to_have_text("Stopped")
    fill(output, "y + 1")
    press(output, "Run")
    expect(note).to_have_text("Ran")
    expect(output.locator(".jp-OutputArea")).to_contain_text("6")
