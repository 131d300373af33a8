"""Saving from the widgets: in code, and by the line in the page."""

from __future__ import annotations

import ast
from dataclasses import replace

import nbformat
import pytest

import openretina_widgets
from openretina_widgets.export.experiment_code import recipe_of
from openretina_widgets.insilico.tuning_analyses.sweep import prepared
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


@pytest.mark.parametrize("name", ["direction", "orientation", "size", "flash", "chirp"])
def test_what_the_sliders_hold_is_in_the_code(name, synthetic, tmp_path):
    """The explorer builds its own experiment from the sliders: the code makes the same."""
    explorer = TuningExplorer(synthetic, experiment=name)
    try:
        explorer.set(contrast=0.4) if "contrast" in explorer.parameters else None
        explorer.set(weight_0=0.5)
        explorer.set(diameter=300.0) if "diameter" in explorer.parameters else None
        experiment = explorer._condition.experiment
        places = [[0.0, 0.0]] if experiment.centred else None
        recording, _ = prepared(synthetic, experiment, neurons=[0], centres=places)
        recipe = recipe_of(recording.curves(), "model")
    finally:
        explorer.close()
    assert not recipe.missing
    assert "0.5" in recipe.code
    made = ast.parse(recipe.code).body[0].value.args[1]
    again = eval(ast.unparse(made), {"orw": openretina_widgets, "replace": replace})
    condition = experiment.conditions()[-1]
    one, other = (e.stimulus(synthetic, **condition).movie for e in (again, experiment))
    assert one.equal(other)


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
