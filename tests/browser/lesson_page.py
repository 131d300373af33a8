"""What a student does in a lesson, on a page of any front end; see `small_lesson.py`."""

from __future__ import annotations

import re

from playwright.sync_api import Locator

from tests.browser.watched_page import expect

COMPUTES = "start = 20\nprint('begun', flush=True)\nwhile True: pass"
WAITS = "import asyncio\nstart = 20\nprint('begun', flush=True)\nawait asyncio.sleep(1e9)"


def press(where: Locator, name: str) -> None:
    """Press the first button of that name that is seen."""
    button = where.locator("button:visible").filter(has_text=re.compile(rf"^\s*{name}$"))
    button.first.click()


def run_code(lesson: Locator, code: str) -> None:
    """Put code into the lesson's editor and run it, until it has written its first line."""
    lesson.locator(".orw-code textarea").fill(code)
    press(lesson, "Run")
    expect(lesson.locator(".orw-code-cell .jp-OutputArea")).to_contain_text("begun")


def answer_to_the_next_step(lesson: Locator) -> None:
    """Run the first step's own code, answer wrong, then right, and go on."""
    if lesson.locator(".orw-code-button:visible").filter(has_text="Reset").is_enabled():
        press(lesson, "Reset")
    press(lesson, "Run")
    expect(lesson.locator(".orw-code-note")).to_have_text("Ran")
    question = lesson.locator(".orw-lesson-question")
    field, said = question.locator("input"), question.locator(".orw-lesson-said").last
    field.fill("20 Hz")
    field.press("Enter")
    expect(said).to_contain_text("✗ Not yet")
    field.fill("21 Hz")
    press(question, "Check")
    expect(said).to_contain_text("✓ Right")
    press(lesson, "Next")
    expect(lesson.locator(".orw-contents-far")).to_have_text("Step 2 of 3")
