"""Saving from the widgets: in code, and by the line in the page."""

from __future__ import annotations

import nbformat
import pytest

from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.population_explorer import PopulationExplorer
from openretina_widgets.widgets.receptive_field_viewer import ReceptiveFieldViewer
from openretina_widgets.widgets.retina_lab import RetinaLab
from openretina_widgets.widgets.stimulus_optimizer import StimulusOptimizer
from openretina_widgets.widgets.tuning_explorer import TuningExplorer

pytestmark = pytest.mark.usefixtures("nothing_left")

KINDS = [StimulusOptimizer, TuningExplorer, ReceptiveFieldViewer, PopulationExplorer, RetinaLab]


def menus(widget):
    return [child for child in widget.children if isinstance(child, ExportMenu)]


@pytest.mark.parametrize("kind", KINDS)
def test_before_a_run_it_says_what_to_do(kind, synthetic, tmp_path):
    widget = kind(synthetic)
    try:
        assert isinstance(widget, Exportable)
        with pytest.raises(RuntimeError, match="no result to save yet; run "):
            widget.export(tmp_path / "a.html")
        (menu,) = menus(widget)
        menu.save()
        assert 'role="alert"' in menu.children[-1].value
        assert "no result to save yet; run " in menu.children[-1].value
    finally:
        widget.close()


async def test_the_lab_saves_the_results_of_all_tabs(synthetic, tmp_path):
    lab = RetinaLab(synthetic, time_steps=25, max_iterations=3)
    try:
        await lab.optimizer.start()
        await lab.fields.start()
        assert list(lab.exported) == ["Best stimulus", "Receptive fields"]
        page = lab.export(tmp_path / "lab.html")
        assert "Receptive fields" in page.read_text(encoding="utf-8")
        notebook = nbformat.read(lab.export(tmp_path / "lab.ipynb"), as_version=4)
        assert "orw.receptive_fields(" in "".join(cell.source for cell in notebook.cells)
        gif = lab.optimizer.export(tmp_path / "best.gif", scale=1)
        assert gif.read_bytes().startswith(b"GIF89a")
    finally:
        lab.close()


async def test_the_line_in_the_page_saves_and_never_overwrites(synthetic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    widget = StimulusOptimizer(synthetic, time_steps=22, max_iterations=2)
    try:
        await widget.start()
        (menu,) = menus(widget)
        kind, name, replace, button, said = menu.children
        button.click()
        file = tmp_path / "best_stimulus.html"
        assert f"Saved {file}, " in said.value
        file.write_text("mine")
        button.click()
        assert "is there already" in said.value
        assert file.read_text() == "mine"
        replace.value = True
        button.click()
        assert file.stat().st_size > 10_000
        kind.value, name.value = ".npz", "<b>folder</b>/x"
        button.click()
        assert "there is no folder" in said.value
        assert "<b>" not in said.value
        name.value = "run.ipynb"  # the suffix in the name counts
        button.click()
        assert (tmp_path / "run.ipynb").exists()
        name.value = " "
        button.click()
        assert "write a name first" in said.value
        assert not button.disabled
    finally:
        widget.close()
