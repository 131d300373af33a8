"""The teacher's dashboard in real JupyterLab: it follows by itself, and survives a reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from openretina_widgets.tutorials.classroom import Classroom
from openretina_widgets.tutorials.classroom.place import HOME_VARIABLE
from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser


def test_it_follows_a_class_by_itself(
    lab: Lab, kernel_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    url = str(tmp_path / "class.sqlite")
    show = (
        "from openretina_widgets import Classroom\n"
        f"dashboard = Classroom.dashboard('retina', url={url!r})\ndashboard"
    )
    lab.new_notebook([show], kernel=kernel_name)
    lab.run_cell(0)
    output = lab.output_area(0)
    count, bars = output.locator(".orw-class-count"), output.locator(".orw-class-bar")
    expect(count).to_have_text("0 students · 0 submissions")
    classrooms = [Classroom.join("retina", name, url=url) for name in ("Ada", "<i>Ben</i>")]
    for k, classroom in enumerate(classrooms):
        classroom.submit("answer", "q", {"answer": "yes", "correct": True})
        classroom.submit("answer", "other", k)
        classroom.submit("step", "lesson", {"step": k + 1, "of": 3})
    expect(count).to_have_text("2 students · 6 submissions")
    expect(bars).to_have_text(["2 ✓"])
    expect(output.locator(".orw-class-name")).to_have_text(["Ada", "<i>Ben</i>"])
    output.get_by_label("Question whose answers are shown").select_option("other")
    expect(bars).to_have_text(["1", "1"])
    output.get_by_label("Hide names").check()
    expect(output.locator(".orw-class-name")).to_have_text(["student 1", "student 2"])
    assert lab.evaluate_in_kernel("dashboard.hide_names, dashboard.question") == "(True, 'other')"
    classrooms[0].submit("answer", "other", 5)
    expect(count).to_have_text("2 students · 7 submissions")
    for classroom in classrooms:
        classroom.close()
