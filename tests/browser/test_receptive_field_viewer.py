"""The receptive field viewer in real JupyterLab: every control is pressed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Locator

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import time
import openretina_widgets as orw
viewer = orw.ReceptiveFieldViewer(orw.load_model("synthetic"))
viewer
"""


def button(where: Locator, name: str) -> Locator:
    return where.locator(".jupyter-button").filter(has_text=re.compile(rf"^\s*{name}$"))


def control(where: Locator, name: str) -> Locator:
    return where.get_by_label(name, exact=True)


def message(where: Locator) -> Locator:
    return where.locator(".orw-status-message")


def wall(where: Locator) -> Locator:
    return where.locator(".orw-wall-sizer canvas")


def value(where: Locator, name: str) -> str:
    """A figure of the enlarged field."""
    row = where.locator(".orw-figures tr").filter(has_text=name)
    return row.locator("td").nth(1).inner_text()


def show(lab: Lab, kernel: str = "python3", code: str = SHOW) -> Locator:
    lab.page.set_viewport_size({"width": 1440, "height": 1900})
    lab.new_notebook([code, "1 + 1"], kernel=kernel)
    lab.run_cell(0)
    output = lab.output_area(0)
    expect(button(output, "Compute fields")).to_be_visible()
    return output


def compute(output: Locator) -> None:
    button(output, "Compute fields").click()
    expect(message(output)).to_contain_text("determined")


def test_gradient_wall_detail_and_mosaic(lab: Lab) -> None:
    output = show(lab)
    expect(output.locator(".orw-wall-message")).to_contain_text("press Compute fields")
    tall = output.evaluate("element => element.scrollHeight")
    compute(output)
    lab.wait_for(lambda: lab.canvas_pixels(wall(output))[..., :3].std() > 20, what="the wall")
    assert output.evaluate("element => element.scrollHeight") == tall  # nothing jumps
    assert value(output, "polarity") == "ON"

    off = int(lab.evaluate_in_kernel("viewer.model.neurons_of('OFF sustained')[0]"))
    wall(output).click(position={"x": 60, "y": 60})
    lab.wait_for(
        lambda: lab.evaluate_in_kernel("viewer.selection.neurons") == "(0,)", what="a choice"
    )
    lab.page.mouse.move(0, 0)  # else what is under the pointer is said
    lab.evaluate_in_kernel(f"viewer.selection.choose({off})")
    expect(output.locator(".orw-figures")).to_contain_text("OFF")
    expect(output.locator(".orw-wall-foot")).to_contain_text(f"Chosen: {off} · OFF sustained")

    # A click in the mosaic chooses as well.
    x, y, size = eval(
        lab.evaluate_in_kernel(
            "[float(v) for v in viewer.result.centres[3]] + [viewer.model.pixel_size_um]"
        )
    )
    mosaic = output.locator(".orw-map").filter(has_text="Mosaic").locator("canvas")
    scale = 20  # (420 - 8 - 44) / 18, rounded down
    mosaic.click(
        position={"x": 66 + 8 * scale + x / size * scale, "y": 8 + 9 * scale - y / size * scale}
    )
    near = "abs(viewer.result.centres[viewer.selection.neuron] - viewer.result.centres[3]).max()"
    lab.wait_for(
        lambda: float(lab.evaluate_in_kernel(f"float({near})")) < 40, what="the nearest is chosen"
    )

    # One type, one channel, one scale.
    control(output, "Type").select_option("OFF sustained")
    n = len(eval(lab.evaluate_in_kernel("viewer.model.neurons_of('OFF sustained')")))
    count = "len(viewer.mosaic._content['outlines'])"
    lab.wait_for(lambda: int(lab.evaluate_in_kernel(count)) == n, what="the mosaic of a type")
    control(output, "Channel").select_option("UV")
    shape = "viewer.wall.images.shape[1]"
    lab.wait_for(lambda: lab.evaluate_in_kernel(shape) == "1", what="one channel")
    output.locator("select.orw-wall-scale").select_option("common")
    same = "len(set(viewer.wall.limits.tolist()) - {0.0})"  # 0 where no field is known
    lab.wait_for(lambda: lab.evaluate_in_kernel(same) == "1", what="one scale")


def test_looks(lab: Lab) -> None:
    output = show(lab)
    lab.screenshot("receptive-fields-empty", output)
    compute(output)
    lab.evaluate_in_kernel("viewer.selection.choose([8, 3])")
    lab.wait_for(lambda: "8 · " in output.inner_text(), what="the eighth")
    for theme in ("light", "dark"):
        lab.set_theme(theme)
        lab.screenshot(f"receptive-fields-{theme}", output)
        text = output.locator(".orw-figures td").nth(1)
        colour = text.evaluate("element => getComputedStyle(element).color")
        levels = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
        assert bool(np.mean(levels) > 128) is (theme == "dark")
    lab.set_theme("light")
    lab.page.set_viewport_size({"width": 900, "height": 2600})
    lab.screenshot("receptive-fields-narrow", output)
    for canvas in output.locator("canvas").all():
        if canvas.is_visible():
            assert canvas.bounding_box()["x"] + canvas.bounding_box()["width"] <= 900


def test_average_grows_pauses_and_stops(lab: Lab, kernel_name: str) -> None:
    output = show(lab, kernel_name)
    control(output, "Method").select_option("spike-triggered average")
    frames = control(output, "Frames")
    expect(frames).to_be_enabled()
    frames.fill("100000000")
    frames.press("Tab")
    seed = control(output, "Seed")
    seed.fill("7")
    seed.press("Tab")
    button(output, "Compute fields").click()
    done = output.locator(".orw-status-value").first

    def frames_so_far() -> int:
        found = re.match(r"[\d,]+", done.inner_text())
        return int(found[0].replace(",", "")) if found else 0

    lab.wait_for(lambda: frames_so_far() > 1000, what="the first frames")
    before, at = lab.canvas_pixels(wall(output)), frames_so_far()
    lab.wait_for(lambda: frames_so_far() > at + 1000, what="more frames")
    lab.wait_for(
        lambda: (lab.canvas_pixels(wall(output)) != before).any(), what="the wall to change"
    )
    button(output, "Pause").click()
    expect(message(output)).to_contain_text("Paused")
    at = frames_so_far()
    lab.run_cell(1)  # another cell runs meanwhile
    assert frames_so_far() == at
    button(output, "Resume").click()
    lab.wait_for(lambda: frames_so_far() > at, what="the run to go on")
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user")
    expect(button(output, "Stop")).to_be_disabled()
    assert lab.evaluate_in_kernel("viewer.job.done()") == "True"
    assert lab.evaluate_in_kernel("viewer.result.seed") == "7"
    assert int(lab.evaluate_in_kernel("viewer.result.frames_used")) < 100_000_000


def test_gradient_at_an_image_and_at_one_of_ones_own(lab: Lab) -> None:
    code = SHOW.replace(
        'orw.load_model("synthetic")',
        'orw.load_model("synthetic"), base={"bright": __import__("numpy").ones((18, 16))}',
    )
    output = show(lab, code=code)
    control(output, "Method").select_option("gradient at an image (LSTA)")
    image = control(output, "Image")
    expect(image).to_be_enabled()
    expect(control(output, "Seed")).to_be_disabled()
    compute(output)
    assert "binary noise" not in message(output).inner_text()
    image.select_option("binary noise")
    seed = control(output, "Seed")
    expect(seed).to_be_enabled()
    seed.fill("3")
    seed.press("Tab")
    compute(output)
    expect(message(output)).to_contain_text("binary noise, contrast 0.5, seed 3")


def test_keyboard_reaches_everything(lab: Lab) -> None:
    output = show(lab)
    compute(output)
    output.locator(".orw-wall-scroller").focus()
    lab.page.keyboard.press("ArrowRight")
    chosen = "viewer.selection.neurons"
    lab.wait_for(lambda: lab.evaluate_in_kernel(chosen) == "(1,)", what="the next neuron")
    expect(output.locator(".orw-heading").first).to_contain_text("1 · ")
    output.locator(".orw-map").filter(has_text="Mosaic").locator(".orw-map-frame").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.wait_for(lambda: lab.evaluate_in_kernel(chosen) != "(1,)", what="a neuron of the mosaic")


def test_failure_is_said_where_the_user_looks(lab: Lab) -> None:
    output = show(
        lab,
        code="""
import numpy as np, openretina_widgets as orw
viewer = orw.ReceptiveFieldViewer(
    orw.load_model("synthetic"), method="local gradient", base=np.zeros((5, 5)))
viewer
""",
    )
    button(output, "Compute fields").click()
    expect(output.get_by_role("alert")).to_contain_text("base: expected an image (18, 16)")
    expect(button(output, "Stop")).to_be_disabled()


def test_wall_appears_within_a_second_after_the_fields(lab: Lab) -> None:
    output = show(
        lab,
        code=SHOW.replace(
            "\nviewer\n",
            "\nviewer.observe(lambda _: globals().update(known=time.time()), 'result')\nviewer\n",
        ),
    )
    compute(output)  # once, so that everything is warm
    lab.evaluate_in_kernel("viewer.reset()")
    expect(output.locator(".orw-wall-message")).to_contain_text("press Compute fields")
    painted = lab.page.evaluate(
        """async () => {
            const find = (name, text = "") => [...document.querySelectorAll(name)]
                .find((node) => node.textContent.includes(text));
            const wall = find(".orw-wall-sizer canvas");
            const painted = () => {
                const [width, height] = [wall.width, Math.min(wall.height, 150)];
                const { data } = wall.getContext("2d").getImageData(0, 0, width, height);
                for (let i = 0; i < data.length; i += 4) {  // red, which no hatch is
                    if (data[i + 3] === 255 && data[i] > data[i + 2] + 60) return true;
                }
                return false;
            };
            find(".jupyter-button", "Compute fields").click();
            while (!find(".orw-status-message").textContent.includes("determined") || !painted()) {
                await new Promise(requestAnimationFrame);
            }
            return Date.now() / 1000;
        }"""
    )
    seconds = painted - float(lab.evaluate_in_kernel("known"))
    print(f"84 neurons: the wall is painted {seconds:.2f} s after the fields are known")
    assert seconds < 1.0
