"""The designer in real JupyterLab: sliders, builders, neurons, words, and how fast it answers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
designer = orw.StimulusDesigner(model)
designer
"""

# From a key that moves a slider to the moment after the frame in which the response was painted.
WATCH = """root => {
    window.orwTimes = [];
    let pressed = 0;
    root.addEventListener("keydown", () => (pressed = performance.now()), true);
    const plot = root.querySelector(".orw-curves");
    new MutationObserver(() => {
        const channel = new MessageChannel();
        const since = pressed;
        pressed = 0;
        channel.port1.onmessage = () => since && orwTimes.push(performance.now() - since);
        channel.port2.postMessage(0);
    }).observe(plot, { attributes: true, attributeFilter: ["data-version"] });
}"""


def show(lab: Lab, kernel: str = "python3", code: str = SHOW, width: int = 1440) -> Locator:
    lab.page.set_viewport_size({"width": width, "height": 1400})
    lab.new_notebook([code], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(output.locator(".orw-curves-line").nth(1)).to_be_visible()
    return output


def handle(where: Locator, words: str) -> Locator:
    slider = where.locator(".widget-hslider").filter(has_text=words)
    return slider.locator(".noUi-handle")


def test_every_control(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    curve = output.locator(".orw-curves-stage path.orw-curves-line").first
    before = curve.get_attribute("d")
    handle(output, "Direction").press("ArrowRight")
    lab.wait_until("designer.stimulus.parameters['direction_deg'] == 5.0")
    lab.wait_for(lambda: curve.get_attribute("d") != before, what="another response")

    # Above Nyquist: said in words, and the last good picture stays.
    good = lab.evaluate_in_kernel("id(designer.stimulus)")
    fine = handle(output, "Spatial")
    fine.press("End")
    expect(output.get_by_role("alert")).to_contain_text("spatial_frequency")
    stays = lab.evaluate_in_kernel("designer.stimulus.parameters['spatial_frequency_cyc_per_mm']")
    assert float(stays) < 11
    assert good
    fine.press("Home")
    expect(output.get_by_role("alert")).to_have_count(0)

    # Every builder, and a slider of each.
    chosen = output.get_by_label("Stimulus", exact=True)
    for title in chosen.locator("option").all_inner_texts():
        chosen.select_option(label=title)
        lab.wait_until("not designer.busy and designer.error is None")
        lab.evaluate_in_kernel("globals().update(shown=designer.stimulus)")  # held: ids come again
        output.locator(".widget-hslider .noUi-handle").first.press("ArrowLeft")
        output.locator(".widget-hslider .noUi-handle").first.press("ArrowRight")
        lab.wait_until("designer.stimulus is not shown or designer.error is not None")

    # Several neurons, found by typing.
    chosen.select_option(label="moving bar")
    output.get_by_placeholder("number or type, e.g. ON").fill("OFF sustained")
    listed = output.locator("select[multiple]")
    expect(listed.locator("option")).to_have_count(8)
    listed.select_option(index=[0, 1, 2])
    expect(output.locator(".orw-curves-key")).to_have_count(3)
    assert lab.evaluate_in_kernel("len(designer.selection.neurons)") == "3"

    # The movie plays with the builder's values.
    play = output.locator(".orw-player-play")
    play.click()
    expect(play).to_have_attribute("title", re.compile("^Play"))
    lab.wait_until("len(designer.player.stimulus[0]) == len(designer.stimulus)")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(lab: Lab, theme: str) -> None:
    output = show(lab, code=SHOW.replace("(model)", "(model, kind='moving_bar')"))
    lab.evaluate_in_kernel("designer.selection.choose([3, 40, 45]); None")
    expect(output.locator(".orw-curves-key")).to_have_count(3)
    lab.set_theme(theme)  # type: ignore[arg-type]
    lab.screenshot(f"designer-{theme}", output)
    lab.page.set_viewport_size({"width": 900, "height": 1800})
    lab.screenshot(f"designer-{theme}-900", output)
    lab.set_theme("light")
    boxes = [box for box in (output.locator(s).first.bounding_box() for s in
             (".orw-player", ".orw-curves", ".orw-neurons")) if box]  # fmt: skip
    assert len(boxes) == 3
    for i, one in enumerate(boxes):  # nothing lies on anything else
        for other in boxes[i + 1 :]:
            apart = (
                one["x"] + one["width"] <= other["x"] + 1
                or other["x"] + other["width"] <= one["x"] + 1
                or one["y"] + one["height"] <= other["y"] + 1
                or other["y"] + other["height"] <= one["y"] + 1
            )
            assert apart


def test_response_follows_a_slider_within_100_ms(lab: Lab) -> None:
    output = show(lab)
    output.locator(".orw-designer").evaluate(WATCH)
    slider = handle(output, "Direction")
    slider.focus()
    times = presses(lab)
    # Movie on or off, this is what the one who drags sees. The aim, 100 ms at the 95th percentile,
    # is held on an idle machine; on a busy one the median tells a slow widget from slow company.
    print(f"slider to response: {len(times)}, median {np.median(times):.0f} ms, "
          f"p95 {np.percentile(times, 95):.0f} ms, worst {times.max():.0f} ms")  # fmt: skip
    assert len(times) >= 55
    assert np.median(times) <= 100


def presses(lab: Lab) -> np.ndarray:
    """Press an arrow key 60 times; return the times until each response was painted (ms)."""
    before = len(json.loads(lab.page.evaluate("JSON.stringify(orwTimes)")))
    for _ in range(60):
        lab.page.keyboard.press("ArrowRight")
        lab.page.wait_for_timeout(150)
    return np.array(json.loads(lab.page.evaluate("JSON.stringify(orwTimes)")))[before:]


def test_drag_drops_what_is_overtaken(lab: Lab) -> None:
    output = show(lab)
    grip = handle(output, "Direction").bounding_box()
    assert grip
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    for step in range(60):
        lab.page.mouse.move(x + step, y)
    lab.page.mouse.up()
    lab.wait_until("not designer.busy")
    value = "designer.parameters['direction']"
    lab.wait_until(f"{value} > 0 and designer.stimulus.parameters['direction_deg'] == {value}")
