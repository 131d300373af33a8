"""A lesson that ships, as a student goes through it: wrong answer, hint, right answer, Next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from openretina_widgets.tutorials import Tutorial
from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser


@dataclass
class Answers:
    """What a student tries first, and then."""

    wrong: str
    right: str


LESSONS = {
    "optimise_a_stimulus": {
        "surround-sign": Answers("bright as well", "darker than grey"),
        "on-to-off": Answers("nothing", "centre and surround exchange their signs"),
        "what-is-held": Answers("the score", "the norm"),
        "quick-score": Answers("learning_rate=0.5", "learning_rate=5"),
        "one-frame": Answers("", "Only the light shortly before it."),
        "how-long-before": Answers("3", "100"),
        "twice-the-norm": Answers(
            "it stays as it is", "weak parts of the pattern grow until they are at the limit too"
        ),
        "two-laboratories": Answers("", "Which norm and which range did you hold?"),
        "to-the-left": Answers("28", "36"),
    },
    "find_specialised_neurons": {
        "two-indices": Answers("", "dsi against on_off, I expect."),
        "missed": Answers("0", "?len(set(model.neurons_of('DS')) - set(found.neurons))"),
        "colour-one": Answers("0", "?int(table.where('colour_opponency > 0.3').neurons[0])"),
        "thresholds": Answers("", "I would look at the scatter of each index first."),
        "correlation": Answers("", "It was tested on movies, not on gratings or spots."),
    },
    "receptive_fields": {
        "on-off-tile": Answers("a red centre", "empty"),
        "largest-distance": Answers(
            "400", "?float(away[model.neurons_of('ON sustained')[:4]].max())"
        ),
        "around-a-spot": Answers("", "It changes its sign with the spot."),
        "four-times": Answers("it is a quarter", "it halves"),
        "four-distances": Answers("", "Not much: it is a small sample."),
    },
    "tuning_curves": {
        "lowest": Answers("90°", "180°"),
        "mean-dsi": Answers("12", "?float(dsi[model.neurons_of('ON-OFF DS 90°')].mean())"),
        "scrambled": Answers("", "Nothing is left of it, I think."),
        "slow-or-fast": Answers("", "The transient one likes it faster."),
        "surround": Answers("both", "the first, ON sustained"),
        "find-one": Answers("0", "30"),
    },
}


def press(where: Locator, name: str) -> None:
    button = where.locator("button:visible").filter(has_text=re.compile(rf"^\s*{name}$"))
    button.first.click()


def change_and_run(code: Locator, setting: str) -> None:
    """Give another value to a setting that stands in the code, and run it."""
    editor, count = code.locator("textarea"), code.locator(".orw-code-count")
    name, before = setting.partition("=")[0], count.inner_text()
    editor.fill(re.sub(rf"{name}=[^,)]*", setting, editor.input_value()))
    press(code, "Run")
    expect(count).not_to_have_text(before)
    expect(code.locator(".orw-code-note")).to_have_text("Ran")


def give(lab: Lab, panel: Locator, kind: str, answer: str) -> None:
    if answer.startswith("?"):
        answer = lab.evaluate_in_kernel(answer[1:])
    if kind == "choice":
        panel.locator("label").filter(has_text=re.compile(rf"^\s*{re.escape(answer)}\s*$")).click()
    elif kind == "text":
        panel.locator("textarea").fill(answer)
    elif kind == "score":
        change_and_run(panel.page.locator(".orw-code:visible").last, answer)
    else:
        panel.locator("input").fill(answer)
    press(panel, "Keep" if kind == "text" else "Check")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LESSONS)
def test_a_student_gets_to_the_end(lab: Lab, tmp_path: Path, name: str) -> None:
    tutorial = Tutorial.read(name)
    lab.page.set_viewport_size({"width": 1440, "height": 1400})
    code = (
        "import openretina_widgets as orw\n"
        f"stepper = orw.TutorialStepper({name!r}, progress_folder={str(tmp_path)!r})\n"
        "stepper"
    )
    lab.new_notebook([code])
    lab.run_cell(0)
    output = lab.output_area(0)
    for k, step in enumerate(tutorial.steps):
        far = output.locator(".orw-contents-far")
        expect(far).to_have_text(f"Step {k + 1} of {len(tutorial.steps)}")
        cells = output.locator(".orw-code:visible")
        for at in range(cells.count()):
            press(cells.nth(at), "Run")
            expect(cells.nth(at).locator(".orw-code-note")).to_have_text("Ran", timeout=120_000)
        panels = output.locator(".orw-lesson-question:visible")
        asked = [cell.about for cell in step.cells if cell.role == "question"]
        for panel, id in zip(panels.all(), asked, strict=True):
            kind, answers = tutorial.questions[id].kind, LESSONS[name][id]
            said = panel.locator(".orw-lesson-said").last
            if answers.wrong:
                give(lab, panel, kind, answers.wrong)
                expect(panel.locator(".orw-lesson-wrong")).to_be_visible()
            for number in range(len(tutorial.hints.get(id, ()))):
                press(panel, f"Hint {number + 1} of .*")
                expect(panel.locator(".orw-lesson-hint")).to_have_count(number + 1)
            give(lab, panel, kind, answers.right)
            expect(said).to_contain_text("Kept" if kind == "text" else "✓ Right")
            if id in tutorial.solutions:
                press(panel, "Show solution")
                expect(panel.locator("details[open]")).to_be_visible()
        lab.screenshot(f"lesson-{name}-{k + 1}")
        if k + 1 < len(tutorial.steps):
            press(output, "Next")
    expect(output.locator(".orw-lesson-note")).to_contain_text("This is the last step.")
    expect(output.locator(".orw-contents-bar")).to_have_attribute(
        "aria-valuenow", str(len(tutorial.steps))
    )
