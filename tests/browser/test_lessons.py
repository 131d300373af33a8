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
    "tuning_curves": {
        "lowest": Answers("90°", "180°"),
        "mean-dsi": Answers("12", "?float(dsi[model.neurons_of('ON-OFF DS 90°')].mean())"),
        "scrambled": Answers("", "Nothing is left of it, I think."),
        "slow-or-fast": Answers("", "The transient one likes it faster."),
        "surround": Answers("both", "the first, ON sustained"),
        "find-one": Answers("0", "30"),
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
    "find_specialised_neurons": {
        "two-indices": Answers("", "dsi against on_off, I expect."),
        "missed": Answers("0", "?len(set(model.neurons_of('DS')) - set(found.neurons))"),
        "colour-one": Answers("0", "?int(table.where('colour_opponency > 0.3').neurons[0])"),
        "thresholds": Answers("", "I would look at the scatter of each index first."),
        "correlation": Answers("", "It was tested on movies, not on gratings or spots."),
    },
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
    "what_makes_types_different": {
        "alike": Answers("opposite signs", "hardly: a bright spot in both"),
        "driven": Answers("1", "?round(float(answers[0, 1] / answers[0, 0]), 2)"),
        "log-2": Answers("1", "0.693"),
        "which-tells": Answers("a small bright spot", "a bright spot in a wide dark ring"),
        "slower": Answers("flash once, briefly", "stay bright for as long as it counts"),
        "dark-edge": Answers("motion to the left", "dark edges that move to the right"),
        "edges-seen": Answers("", "A bright bar and a dark one, both to the right."),
        "how-many": Answers("24", "?sum(right.values())"),
        "mean-hides": Answers("", "The score looks at the mean, and two are enough."),
        "own-pair": Answers('second = "ON sustained"', 'second = "OFF sustained"'),
        "random-halves": Answers(
            "near 0, they are of one type", "near log 2, they can be told apart"
        ),
        "shrinks": Answers("", "Less, since the network has errors of its own."),
    },
    "design_your_own_experiment": {
        "which-null": Answers(
            "The slow display may have an effect.",
            "At every frequency the direction tuning is the same on both displays.",
        ),
        "your-null": Answers(
            "too short", "The tuning is the same on both. I measure DSI and angle."
        ),
        "mean-over-what": Answers(
            "the tuning of neuron 0", "the first response frame of every neuron"
        ),
        "cycles": Answers("15", "0.5"),
        "window": Answers("1 s", "0.8 s"),
        "step-size": Answers("0.75", "270"),
        "reversed": Answers("0°, as it was built", "180°"),
        "lost-at": Answers("5 Hz", "7.5 Hz"),
        "phase-control": Answers("it should vanish, as a control has to", "it should stay"),
        "by-chance": Answers("0", "4.2"),
        "shuffles": Answers("1000", "1680"),
        "small-effect": Answers(
            "The ON-OFF neuron is direction-selective, p < 0.05.",
            "Its DSI is not exactly 0, and it is tiny.",
        ),
        "enough": Answers("2", "?min(n for n, k in enough.items() if k >= 0.8 * 28)"),
        "rule": Answers(
            "Above 5 Hz the preferred direction is reversed.",
            "It depends on the frequency as a part of the pictures a second: it is lost at one "
            "half, and reversed beyond.",
        ),
        "delay": Answers("267", "?1000 * 4 / model.frame_rate"),
        "unique": Answers("all of them", "the linear control"),
        "contrast-20": Answers(
            "The neuron does not saturate.",
            "Nothing: no display shows it, and the model was not made for it.",
        ),
        "per-degree": Answers("77.5", "0.0775"),
        "claim": Answers(
            "ON DS neurons of this retina are direction-selective at 3.75 Hz.",
            "The fitted network's are; whether the retina's are has to be measured.",
        ),
        "design": Answers("slow", "mine"),
        "methods": Answers(
            "",
            "Sine gratings of 2.5 cycles per mm drifted in eight directions, ten pictures a "
            "second; means over 0.8 s; a blank and scrambled pixels as controls; ten repeats "
            "with Poisson counts, seed 1.",
        ),
    },
}


def press(where: Locator, name: str) -> None:
    button = where.locator("button:visible").filter(has_text=re.compile(rf"^\s*{name}$"))
    button.first.click()


def change_and_run(code: Locator, setting: str) -> None:
    """Give another value to a setting that stands in the code, and run it."""
    editor, count = code.locator("textarea"), code.locator(".orw-code-count")
    name, before = setting.partition("=")[0], count.inner_text()
    editor.fill(re.sub(rf"{name}=[^,)\n]*", setting, editor.input_value()))
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


def predict(lab: Lab, output: Locator, *, hints: int, solution: bool) -> None:
    """Draw what is expected, commit it, look what comes, and say why; hints and solution opened."""
    prediction = output.locator(".orw-prediction:visible")
    plot = prediction.locator(".orw-predict")
    plot.scroll_into_view_if_needed()
    expect(button(prediction, "Observe")).to_be_disabled()
    handles = plot.locator(".orw-predict-handle")
    if plot.locator("circle.orw-curves-grid").count():  # around a circle
        draw_upwards(lab, plot)
        handles.nth(1).press("ArrowUp")  # one of them once more, by key
    else:
        for handle in handles.all():
            handle.press("ArrowUp")
    button(prediction, "Commit").click()
    button(prediction, "Observe").click()
    expect(message(prediction)).to_contain_text("Observed. Now explain", timeout=60_000)
    expect(prediction.locator(".orw-card")).to_be_visible()
    prediction.locator("textarea").fill("It was built so.")
    prediction.locator("textarea").blur()
    for number in range(hints):  # they stand above those of the questions
        output.locator("button:visible").filter(has_text=f"Hint {number + 1} of").first.click()
        expect(output.locator(".orw-lesson-hint:visible")).to_have_count(number + 1)
    if solution:
        output.locator("button:visible").filter(has_text="Show solution").first.click()
        expect(output.locator(".orw-lesson-said details[open]:visible")).to_have_count(1)


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
        expect(cells).to_have_count(len(code))
        for cell in code:  # the step's own, which follow its number
            expect(output.get_by_label(f"Code of cell {cell.number}", exact=True)).to_be_visible()
        for at in range(cells.count()):
            press(cells.nth(at), "Run")
            expect(cells.nth(at).locator(".orw-code-note")).to_have_text("Ran", timeout=120_000)
        for cell in (cell for cell in step.cells if cell.role == "prediction"):
            helps = tutorial.hints.get(cell.about, ())
            predict(lab, output, hints=len(helps), solution=cell.about in tutorial.solutions)
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
