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

WRONG = """
import openretina_widgets as orw
model = orw.load_model("synthetic")

def contrast(response):
    chosen = response[:, 3]
    return chosen.men()

optimizer = orw.StimulusOptimizer(model, objective=contrast, max_iterations=10)
optimizer
"""


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def message(where: Locator) -> Locator:
    return where.locator(".orw-status-message")


def ended(where: Locator) -> None:
    expect(message(where)).to_contain_text("Ended:", timeout=120_000)


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
    ended(output)
    button(output, "Keep as before").click()
    output.get_by_label("Stimulus that is", exact=True).select_option(label="most depressing")
    button(output, "Optimise").click()
    expect(message(output)).to_contain_text("Decreasing")
    ended(output)
    expect(output.get_by_label("RMS contrast", exact=True)).to_be_visible()  # seeds are set there
    lab.screenshot(f"bench-{theme}", output)
    lab.page.set_viewport_size({"width": 900, "height": 3000})
    lab.screenshot(f"bench-{theme}-900", output)
    lab.set_theme("light")


def test_labels_have_tooltips_and_a_field_that_does_not_fit_stands_out(lab: Lab) -> None:
    output = show(lab, SHOW.replace("neuron=5", "neuron=5, mean_luminance=0"))
    goal = output.get_by_label("Stimulus that is", exact=True)
    for name in ("Stimulus that is", "RMS contrast", "Mean luminance", "Range", "Form", "Frames"):
        assert title_of(output, name), name
    goal.select_option(label="best for several neurons")
    assert title_of(output, "Neurons") == "Their mean response counts"
    neurons = output.get_by_label("Neurons", exact=True)
    fine = neurons.evaluate("box => getComputedStyle(box).borderColor")
    neurons.fill("0-3, 90")
    neurons.blur()
    expect(message(output)).to_have_text(
        "Neurons: session 'synthetic' has no neuron 90; it has neurons 0 to 83, the nearest is 83"
    )
    expect(neurons).not_to_have_css("border-color", fine)
    expect(neurons).not_to_have_css("box-shadow", "none")
    expect(output.get_by_label("Neuron", exact=True)).to_be_disabled()
    lab.screenshot("bench-refused", output)


def title_of(where: Locator, name: str) -> str:
    """Return the tooltip that the label of a field shows."""
    return (
        where.locator("label.widget-label")
        .get_by_text(name, exact=True)
        .evaluate("node => node.closest('[title]')?.title ?? ''")
    )


def test_a_colour_bar_stays_beside_its_maps_at_every_width(lab: Lab) -> None:
    output = show(lab, SHOW.replace("max_iterations=40", "max_iterations=4"))
    button(output, "Optimise").click()
    ended(output)
    spatial = output.locator(".orw-player").nth(1)
    tops = (
        "s => [...s.querySelectorAll('canvas')].map(c => Math.round(c.getBoundingClientRect().y))"
    )
    lab.page.set_viewport_size({"width": 1400, "height": 1500})
    first = output.locator(".orw-player").first.evaluate(tops)
    assert len(first) == 5
    assert len({*first[:4]}) == 1, "maps, bar and mixture are one row"
    for width in (800, 860, 920, 980, 1100, 1150, 1200, 1250, 1300, 1350, 1400):
        lab.page.set_viewport_size({"width": width, "height": 1500})
        lab.wait_for(
            lambda: len({*spatial.evaluate(tops)}) == 1,
            what=f"two maps and their bar beside each other at {width} px",
        )
        box, whole = spatial.bounding_box(), output.bounding_box()
        assert box["x"] + box["width"] <= whole["x"] + whole["width"] + 1


def test_looking_back_while_it_runs_and_afterwards(lab: Lab) -> None:
    output = show(lab, SHOW.replace("max_iterations=40", "max_iterations=10**6"))
    slider = output.locator(".orw-history .noUi-handle")
    # bqplot has no path for a mark without points.
    cursor = output.locator(".orw-chart").first.locator('path.line[style*="brand-color"]')
    said = output.locator(".orw-history .orw-said")
    button(output, "Optimise").click()
    lab.wait_until("optimizer._view.history.newest > 5")
    expect(said).to_have_text("following the newest")
    where = output.locator(".orw-player").first.bounding_box()
    slider.press("Home")  # while it runs
    expect(said).to_contain_text("0, score")
    button(output, "Newest").click()
    expect(said).to_have_text("following the newest")
    slider.press("ArrowRight")
    lab.wait_until("optimizer._view.history.live")
    button(output, "Pause").click()
    expect(message(output)).to_contain_text("Paused")
    expect(said).to_contain_text("newest")
    expect(said).to_contain_text(lab.evaluate_in_kernel("optimizer.job.iteration - 1") + ", score")
    expect(slider).to_have_attribute(
        "aria-valuenow", lab.evaluate_in_kernel("float(optimizer.job.iteration - 1)")
    )
    expect(cursor).to_have_count(1)
    before = cursor.get_attribute("d")
    for _ in range(3):
        slider.press("ArrowLeft")
    lab.wait_until("not optimizer._view.history.live")
    lab.wait_for(lambda: cursor.get_attribute("d") != before, what="the cursor on its way back")
    button(output, "Resume").click()
    at = int(lab.evaluate_in_kernel("optimizer._view.history.newest"))
    still = lab.evaluate_in_kernel("optimizer._view.history.slider.value")
    lab.wait_until(f"optimizer._view.history.newest > {at + 5}")
    assert lab.evaluate_in_kernel("optimizer._view.history.slider.value") == still
    button(output, "Newest").click()
    lab.wait_until("optimizer._view.history.live")
    expect(said).to_have_text("following the newest")
    expect(cursor).to_have_count(0)
    button(output, "Stop").click()
    ended(output)
    expect(said).to_contain_text("best")
    expect(cursor).to_have_count(1)
    slider.press("Home")
    expect(said).to_contain_text("0, score")
    start = "float((abs(optimizer.player.stimulus - optimizer.result.stimulus[0].numpy())).max())"
    assert float(lab.evaluate_in_kernel(start)) > 0.05
    assert output.locator(".orw-player").first.bounding_box() == where, "nothing has moved"


def test_seeds_and_what_is_kept_as_before(lab: Lab) -> None:
    output = show(lab)
    output.get_by_text("More settings").click()
    seeds = output.get_by_label("Seeds", exact=True)
    seeds.fill("3")
    seeds.press("Enter")
    button(output, "Optimise").click()
    ended(output)
    panel = output.locator(".orw-seeds")
    expect(panel).to_contain_text("3 seeds reach")
    assert panel.locator("path.line").count() >= 2
    shown = output.get_by_label("Shown", exact=True)
    shown.select_option(label="seed 1")
    same = "(optimizer.player.stimulus == optimizer.result.stimulus[1].numpy()).all()"
    lab.wait_until(f"bool({same})")

    button(output, "Keep as before").click()
    comparison = output.locator(".orw-comparison")
    expect(comparison).to_contain_text("No setting differs")
    norm = output.get_by_label("Norm", exact=True)
    norm.fill("10")
    norm.press("Enter")
    button(output, "Optimise").click()
    ended(output)
    row = comparison.locator("tr").filter(has_text="Norm")
    expect(row).to_contain_text("1510")  # before and after
    expect(comparison.locator(".orw-player canvas[role=img]")).to_have_count(5)  # and the bar
    button(output, "Forget").click()
    expect(comparison.locator(".orw-player")).to_have_count(1)
    expect(comparison.locator(".orw-player")).to_be_hidden()


def test_objectives_and_what_does_not_fit(lab: Lab) -> None:
    output = show(lab, SHOW.replace("max_iterations=40", "max_iterations=4"))
    goal = output.get_by_label("Stimulus that is", exact=True)
    for label, field, said in (
        ("best for several neurons", "Neurons", "the best stimulus of neurons"),
        ("best for a cell type", "Cell type", "ON sustained neurons"),
        ("telling groups apart", "Groups", "most discriminative stimulus of ON sustained"),
        ("one of a diverse set", "Stimuli", "stimulus 1 of 4"),
        ("for this neuron alone", "Others count", "alone"),
    ):
        goal.select_option(label=label)
        expect(output.get_by_label(field, exact=True)).to_be_visible()
        button(output, "Optimise").click()
        expect(message(output)).to_contain_text(said, timeout=60_000)
        ended(output)
    goal.select_option(label="telling groups apart")
    groups = output.get_by_label("Groups", exact=True)
    groups.fill("ON sustained\nON brisk")
    groups.blur()
    expect(message(output)).to_contain_text("ON brisk")
    expect(message(output)).to_have_attribute("role", "alert")
    groups.fill("ON sustained\nOFF sustained")
    groups.blur()
    expect(message(output)).to_contain_text("Ended:")
    output.get_by_text("More settings").click()
    rms = output.get_by_label("RMS contrast", exact=True)
    rms.fill("a lot")
    rms.press("Enter")
    expect(message(output)).to_contain_text("RMS contrast: expected a number")
    rms.fill("0.2")
    rms.press("Enter")
    expect(message(output)).to_contain_text("Ended:")
    output.get_by_label("Form", exact=True).select_option(label="Gabor patch, drifting")
    button(output, "Optimise").click()
    expect(message(output)).to_contain_text("Form: it is")  # a form holds a norm, no RMS
    expect(message(output)).to_have_attribute("role", "alert")


def test_an_error_of_ones_own_function_is_shown_with_its_line(lab: Lab) -> None:
    output = show(lab, WRONG)
    expect(output.get_by_label("Stimulus that is", exact=True)).to_contain_text("best for contrast")
    button(output, "Optimise").click()
    expect(message(output)).to_contain_text("in line 6: return chosen.men()")
    expect(message(output)).to_have_attribute("role", "alert")
