"""A lesson that ships, as a student goes through it: wrong answer, hint, right answer, Next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from openretina_widgets.tutorials import Tutorial
from tests.browser.lab import Lab, expect
from tests.browser.test_prediction import button, draw_upwards, message

pytestmark = pytest.mark.browser


@dataclass
class Answers:
    """What a student tries first, and then."""

    wrong: str
    right: str


LESSONS = {
    "direction_selectivity": {
        "ratio": Answers("1", "?(responses[2] / responses[6]).item()"),
        "why-silent": Answers(
            "Its inputs do not answer to motion down.",
            "Something holds it back, and the order in which places are lit decides whether it "
            "comes in time.",
        ),
        "any-linear": Answers(
            "Yes, if the filter is tilted in space and time.", "No, whatever the filter."
        ),
        "what-fails": Answers(
            "A rectifier: it is linear.",
            "A filter that is tilted in space and time, or an interaction between places: its own "
            "is separable.",
        ),
        "veto-when": Answers("Well after its excitation.", "About when its excitation does."),
        "veto-late": Answers(
            "0",
            "?1000 * int(rows['up']['ON'].veto[0, 2].argmax() "
            "- rows['up']['ON'].excitation[0, 2].argmax()) / model.frame_rate",
        ),
        "no-veto": Answers("Up falls to what down was.", "Down rises to nearly what up is."),
        "left": Answers("0", "?float(left['no veto'])"),
        "help-does": Answers(
            "Nothing that matters.", "It makes the response to the preferred direction stronger."
        ),
        "half-veto": Answers("0", "0.6"),
        "dark-edge": Answers("When the bar arrives.", "When the bar leaves."),
        "faster": Answers("First 0°, then none.", "First 0°, then 180°."),
        "flip-at": Answers("7.6", "?float(model.frame_rate / (2 * delays['ON DS 0°']))"),
        "why-bar": Answers("", "It comes once, so that there is no cycle to be mistaken for."),
        "best-control": Answers("It is a still picture.", "It changes in place."),
        "in-short": Answers(
            "Too short.", "A delayed veto from the next place comes too late for motion one way."
        ),
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


def give(lab: Lab, panel: Locator, kind: str, answer: str) -> None:
    if answer.startswith("?"):
        answer = lab.evaluate_in_kernel(answer[1:])
    if kind == "choice":
        panel.locator("label").filter(has_text=re.compile(rf"^\s*{re.escape(answer)}\s*$")).click()
    elif kind == "text":
        panel.locator("textarea").fill(answer)
    else:
        panel.locator("input").fill(answer)
    press(panel, "Keep" if kind == "text" else "Check")


def predict(lab: Lab, output: Locator, hints: int) -> None:
    """Draw what is expected, commit it, look what comes, and say why; hints and solution opened."""
    prediction = output.locator(".orw-prediction:visible")
    plot = prediction.locator(".orw-predict")
    plot.scroll_into_view_if_needed()
    expect(button(prediction, "Observe")).to_be_disabled()
    draw_upwards(lab, plot)
    plot.locator(".orw-predict-handle").nth(1).press("ArrowUp")  # one of them once more, by key
    button(prediction, "Commit").click()
    button(prediction, "Observe").click()
    expect(message(prediction)).to_contain_text("Observed. Now explain", timeout=60_000)
    expect(prediction.locator(".orw-card")).to_contain_text("direction")
    prediction.locator("textarea").fill("It was built to prefer what moves up.")
    prediction.locator("textarea").blur()
    for number in range(hints):  # they stand above those of the questions
        output.locator("button:visible").filter(has_text=f"Hint {number + 1} of").first.click()
        expect(output.locator(".orw-lesson-hint:visible")).to_have_count(number + 1)
    output.locator("button:visible").filter(has_text="Show solution").first.click()
    expect(output.locator("details[open]:visible")).to_have_count(1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LESSONS)
def test_a_student_gets_to_the_end(lab: Lab, tmp_path: Path, name: str) -> None:
    tutorial = Tutorial.read(name)
    lab.page.set_viewport_size({"width": 1440, "height": 1400})
    show = (
        "import openretina_widgets as orw\n"
        f"stepper = orw.TutorialStepper({name!r}, progress_folder={str(tmp_path)!r})\n"
        "stepper"
    )
    lab.new_notebook([show])
    lab.run_cell(0)
    output = lab.output_area(0)
    for k, step in enumerate(tutorial.steps):
        far = output.locator(".orw-contents-far")
        expect(far).to_have_text(f"Step {k + 1} of {len(tutorial.steps)}")
        cells = output.locator(".orw-code:visible")
        code = [cell for cell in step.cells if cell.kind == "code" and cell.role != "solution"]
        expect(cells).to_have_count(len(code))  # the step's, which follow its number
        for at in range(cells.count()):
            press(cells.nth(at), "Run")
            expect(cells.nth(at).locator(".orw-code-note")).to_have_text("Ran", timeout=120_000)
        for cell in (cell for cell in step.cells if cell.role == "prediction"):
            predict(lab, output, hints=len(tutorial.hints[cell.about]))
            lab.screenshot(f"lesson-{name}-{k + 1}-predicted")
        panels = output.locator(".orw-lesson-question:visible")
        asked = [cell.about for cell in step.cells if cell.role == "question"]
        expect(panels).to_have_count(len(asked))
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
