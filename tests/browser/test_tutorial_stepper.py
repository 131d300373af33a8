"""A lesson in real JupyterLab: wrong answer, hint, right answer, Next, to the end."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator

from openretina_widgets.tutorials.schema import tutorial_metadata
from tests.browser.lab import Lab, expect
from tests.tutorials.small_lesson import small_lesson

pytestmark = pytest.mark.browser


def press(where: Locator, name: str) -> None:
    button = where.locator("button:visible").filter(has_text=re.compile(rf"^\s*{name}$"))
    button.first.click()


def show(lab: Lab, folder: Path, kernel: str, name: str = "small") -> Locator:
    path = small_lesson(folder, name)
    code = (
        "import openretina_widgets as orw\n"
        f"stepper = orw.TutorialStepper({str(path)!r}, progress_folder={str(folder)!r})\n"
        "stepper"
    )
    lab.page.set_viewport_size({"width": 1440, "height": 1000})
    lab.new_notebook([code], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(output.locator(".orw-contents-title")).to_have_text("A small lesson")
    return output


def test_from_a_wrong_answer_to_the_end(lab: Lab, tmp_path: Path, kernel_name: str) -> None:
    output = show(lab, tmp_path, kernel_name)
    text = output.locator(".orw-lesson-page").first
    expect(text.locator("strong")).to_have_text("bold")
    expect(text.locator("mjx-container, .MathJax").first).to_be_visible()
    assert text.locator("img").evaluate("image => image.naturalWidth") == 1
    assert lab.page.evaluate("window.hacked") is None

    question = output.locator(".orw-lesson-question")
    field, said = question.locator("input"), question.locator(".orw-lesson-said").last
    field.fill("21")
    press(question, "Check")
    expect(said).to_contain_text("Have you run the code above?")
    press(output, "Run")
    expect(output.locator(".orw-code-note")).to_have_text("Ran")
    field.fill("20 Hz")
    field.press("Enter")
    expect(said).to_contain_text("✗ Not yet")
    expect(said.locator("code")).to_have_text("start")
    press(question, "Hint 1 of 2")
    expect(question).to_contain_text("Add.")
    expect(question).not_to_contain_text("Add one.")
    press(question, "Hint 2 of 2")
    expect(question).to_contain_text("Add one.")
    press(question, "Show solution")
    expect(question.locator("mjx-container, .MathJax").first).to_be_visible()
    press(question, "Hide solution")
    lab.screenshot("stepper-wrong")
    field.fill("21 Hz")
    press(question, "Check")
    expect(said).to_contain_text("✓ Right")
    press(output, "Next")

    expect(output.locator(".orw-contents-far")).to_have_text("Step 2 of 3")
    first = output.locator(".orw-lesson-question").first
    first.get_by_text("three").click()
    press(first, "Check")
    expect(first).to_contain_text("Three is odd.")
    first.get_by_text("two").click()
    press(first, "Check")
    expect(first).to_contain_text("✓ Right")
    second = output.locator(".orw-lesson-question").last
    second.locator("textarea").fill("It can be halved.")
    press(second, "Keep")
    expect(second).to_contain_text("Kept.")
    lab.set_theme("dark")
    lab.screenshot("stepper-dark")
    press(output, "Next")
    expect(output.locator(".orw-lesson-note")).to_contain_text("This is the last step.")
    expect(output.locator(".orw-contents-bar")).to_have_attribute("aria-valuenow", "3")
    press(output, "Back")
    expect(output.locator(".orw-contents-far")).to_have_text("Step 2 of 3")
    assert lab.evaluate_in_kernel("stepper.step") == "1"
    assert "For the teacher" not in output.inner_text()


def test_goals_and_time_are_told_and_each_step_is_shown_from_its_top(
    lab: Lab, tmp_path: Path
) -> None:
    path = small_lesson(tmp_path)
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if tutorial_metadata(cell.metadata) is not None and cell.source.startswith("#"):
            cell.source += "\n\nA line more." * 60
    nbformat.write(notebook, path)
    lab.page.set_viewport_size({"width": 1440, "height": 700})
    code = "import openretina_widgets as orw\norw.TutorialStepper({!r}, progress_folder={!r})"
    lab.new_notebook([code.format(str(path), str(tmp_path))])
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(output.locator(".orw-contents-minutes")).to_have_text("About 5 minutes")
    expect(output.locator(".orw-contents-goals li")).to_have_text(["Add one", "Find even ones"])
    for title in ("Choose", "End"):
        press(output, "Next")
        expect(output.get_by_role("heading", name=title)).to_be_in_viewport()
        expect(output.locator(".orw-contents-title")).to_be_in_viewport()


def test_a_reload_and_a_new_kernel_lose_nothing(lab: Lab, tmp_path: Path, kernel_name: str) -> None:
    output = show(lab, tmp_path, kernel_name)
    area = output.locator(".orw-code textarea")
    area.fill("start = 30")
    press(output, "Run")
    expect(output.locator(".orw-code-note")).to_have_text("Ran")
    output.locator(".orw-lesson-question input").fill("31")
    press(output, "Check")
    expect(output.locator(".orw-lesson-said").last).to_contain_text("✓ Right")
    press(output, "Next")
    expect(output.locator(".orw-contents-far")).to_have_text("Step 2 of 3")
    lab.reload()
    output = lab.output_area(0)
    expect(output.locator(".orw-contents-far")).to_have_text("Step 2 of 3")
    press(output, "Back")
    expect(output.locator(".orw-code textarea")).to_have_value("start = 30")
    press(output, "Next")
    lab.restart_kernel()
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(output.locator(".orw-contents-far")).to_have_text("Step 2 of 3")
    press(output, "Run the code above")
    expect(output.get_by_text("Run the code above")).to_be_hidden()
    assert lab.evaluate_in_kernel("start") == "30"
    press(output, "Back")
    expect(output.locator(".orw-lesson-said").last).to_contain_text("✓ Right")
    press(output, "Start again")
    press(output, "Press again: answers and code go back")
    expect(output.locator(".orw-code textarea")).to_have_value("start = 20")
    expect(output.locator(".orw-contents-far")).to_have_text("Step 1 of 3")
