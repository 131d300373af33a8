"""The teacher's dashboard in a real browser, while real processes answer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openretina_widgets.tutorials.classroom import Classroom
from openretina_widgets.tutorials.classroom.dashboard import ClassroomDashboard
from openretina_widgets.tutorials.classroom.place import HOME_VARIABLE
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

# Four processes, seven students each, so that the test starts four interpreters and not 28.
STUDENTS = """
import os, random, sys
import numpy as np
from openretina_widgets import Classroom
first, home, url = int(sys.argv[1]), sys.argv[2], sys.argv[3]
x = np.arange(0, 360, 45.0)
tutorial = "direction_selectivity"
for k in range(first, first + 7):
    chance = random.Random(k)
    os.environ["OPENRETINA_WIDGETS_HOME"] = f"{home}/{k}"
    name = "<img src=x onerror=alert(1)>" if k == 0 else None
    classroom = Classroom.join("retina", name, url=url)
    step = chance.choice([2, 3, 3, 4, 4, 4, 5, 7])
    classroom.submit("step", tutorial, {"step": step, "of": 9, "title": f"Step {step}"})
    choice = chance.choice(["The <b>linear</b> cell", "The direction-selective cell", "Both"])
    right = choice.startswith("The dir")
    classroom.submit("answer", "which one fails?", {"answer": choice, "correct": right})
    number = round(chance.gauss(90, 25), 1)
    classroom.submit("answer", "preferred direction (°)", {"answer": number, "correct": None})
    at = np.deg2rad(x - chance.gauss(90, 30))
    curve = {"kind": "polar", "x": x, "label": "direction of motion (°)",
             "values": 100 * np.exp(chance.uniform(0.5, 3) * (np.cos(at) - 1))}
    if k == 3:
        curve["measured"] = np.exp(1.5 * (np.cos(np.deg2rad(x - 90)) - 1))
    classroom.submit("prediction", "direction tuning", curve)
    d = np.array([25.0, 50, 100, 200, 400, 800])
    size = {"kind": "cartesian", "x": d, "label": "diameter (µm)", "log": True,
            "values": d * np.exp(-d / chance.uniform(80, 300))}
    classroom.submit("prediction", "size tuning", size)
    assert classroom.flush(60), classroom.status
    classroom.close()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[BareChromium]:
    try:
        chromium = BareChromium().__enter__()
    except Unavailable as error:
        unavailable(str(error))
    yield chromium
    chromium.__exit__()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def until(dashboard: ClassroomDashboard, page: BarePage, condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        dashboard.refresh()
        page.pump()
        time.sleep(0.1)


def shown(page: BarePage, view: str, what: str) -> list[str]:
    return page.evaluate(
        "s => [...document.querySelectorAll(s)].map((node) => node.textContent)",
        f"{view} .orw-class-{what}",
    )


def test_an_empty_room_says_what_to_do(browser: BareChromium, tmp_path: Path) -> None:
    with browser.page() as page:
        dashboard = plain(ClassroomDashboard, "retina", url=tmp_path / "class.sqlite")
        view = page.show(dashboard)
        page.settle()
        assert 'Students join with Classroom.join("retina")' in page.text(f"{view} .orw-class")
        assert "No answers yet" in page.text(f"{view} .orw-class")
        assert "There is no password" in page.text(f"{view} .orw-class-foot")
        assert not page.visible(f"{view} canvas")
        assert not page.visible(f"{view} .orw-class-trouble")
        page.screenshot("class_dashboard_empty")
        dashboard.close()


def test_a_class_that_answers_is_followed(browser: BareChromium, tmp_path: Path) -> None:
    url = tmp_path / "class.sqlite"
    with browser.page(width=1440, height=1000) as page:
        dashboard = plain(ClassroomDashboard, "retina", url=url)
        view = page.show(dashboard)
        processes = [
            subprocess.Popen([sys.executable, "-c", STUDENTS, str(k), str(tmp_path), str(url)])
            for k in range(0, 28, 7)
        ]
        counts = set()
        end = time.monotonic() + 90
        while any(process.poll() is None for process in processes):
            assert time.monotonic() < end, "the class does not end"
            dashboard.refresh()
            page.pump()
            page.settle()
            counts.add(page.text(f"{view} .orw-class-count"))
            time.sleep(0.05)
        assert [process.returncode for process in processes] == [0] * 4
        dashboard.refresh()
        page.settle()
        assert page.text(f"{view} .orw-class-count") == "28 students · 140 submissions"
        assert len(counts) > 3  # it was seen to grow

        names = shown(page, view, "name")
        assert "<img src=x onerror=alert(1)>" in names  # as text
        assert page.evaluate("() => document.querySelectorAll('.orw-class img').length") == 0
        assert sum(int(text or 0) for text in shown(page, view, "step > b")) == 28
        assert "The <b>linear</b> cell" in shown(page, view, "answer")
        counted = [int(text.split()[0]) for text in shown(page, view, "bar")]
        assert sum(counted) == 28

        page.select(f"{view} select[aria-label^=Question]", "preferred direction (°)")
        page.pump()
        page.settle()
        assert dashboard.question == "preferred direction (°)"
        assert any(" to " in text for text in shown(page, view, "answer"))

        words = page.attribute(f"{view} canvas", "aria-label") or ""
        assert words.startswith("28 predicted curves against direction of motion (°)")
        assert "the true curve" not in words
        before = page.pixels(f"{view} canvas")
        page.click(f"{view} .orw-class-card input")
        page.pump()
        page.settle()
        assert "the true curve at 90" in (page.attribute(f"{view} canvas", "aria-label") or "")
        orange = (page.pixels(f"{view} canvas")[..., :3] == [0xD9, 0x5F, 0x02]).all(axis=-1)
        assert orange.sum() > 200
        assert not (before[..., :3] == [0xD9, 0x5F, 0x02]).all(axis=-1).any()
        page.screenshot("class_dashboard_1440")

        page.select(f"{view} select[aria-label^=Prediction]", "size tuning")
        page.pump()
        page.settle()
        assert "against diameter (µm)" in (page.attribute(f"{view} canvas", "aria-label") or "")

        page.click(f"{view} .orw-class-controls input")
        page.pump()
        page.settle()
        assert shown(page, view, "name")[:2] == ["student 1", "student 2"]
        assert "<img" not in str(dashboard._content)
        dashboard.close()

    with browser.page(theme="dark", width=900, height=1200) as page:
        dashboard = plain(ClassroomDashboard, "retina", url=url, prediction="size tuning")
        view = page.show(dashboard)
        page.screenshot("class_dashboard_dark_900")
        dashboard.close()
    with browser.page(theme="dark", width=1440, height=1000) as page:
        dashboard = plain(ClassroomDashboard, "retina", url=url, show_truth=True, hide_names=True)
        view = page.show(dashboard)
        page.screenshot("class_dashboard_dark_1440")
        width = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        assert width <= 0
        dashboard.close()


def test_the_table_is_saved_from_the_page(browser: BareChromium, tmp_path: Path) -> None:
    url = tmp_path / "class.sqlite"
    classroom = Classroom.join("retina", "Ada", url=url)
    assert classroom.submit("answer", "q", "=1+1").wait(10)
    classroom.close()
    with browser.page() as page:
        dashboard = plain(ClassroomDashboard, "retina", url=url)
        view = page.show(dashboard)
        page.settle()
        page.evaluate(
            "() => { HTMLAnchorElement.prototype.click = function () {"
            " window.saved = [this.download, fetch(this.href).then((r) => r.text())]; }; }"
        )
        page.click(f"{view} .orw-class-controls button")
        page.pump()
        assert page.evaluate("() => window.saved[0]") == "retina.csv"
        assert "Ada,answer,q,'=1+1," in page.evaluate("() => window.saved[1]")
        dashboard.close()


def test_a_database_that_goes_away_is_said(browser: BareChromium, tmp_path: Path) -> None:
    url = tmp_path / "class.sqlite"
    with browser.page() as page:
        dashboard = plain(ClassroomDashboard, "retina", url=url)
        view = page.show(dashboard)
        os.rename(url, tmp_path / "away")
        dashboard.refresh()
        page.settle()
        assert "there is no such file" in page.text(f"{view} .orw-class-trouble")
        assert page.attribute(f"{view} .orw-class-trouble", "role") == "alert"
        page.screenshot("class_dashboard_away")
        os.rename(tmp_path / "away", url)
        dashboard.refresh()
        page.settle()
        assert not page.visible(f"{view} .orw-class-trouble")
        dashboard.close()
