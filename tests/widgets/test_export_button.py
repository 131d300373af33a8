"""Saving from the widgets: in code, and by the line in the page."""

from __future__ import annotations

import ast
import asyncio
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import torch

import openretina_widgets
from openretina_widgets.errors import NotReproducible
from openretina_widgets.export import from_archive
from openretina_widgets.export.experiment_code import recipe_of
from openretina_widgets.insilico.tuning_analyses.sweep import prepared
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.population_explorer import PopulationExplorer
from openretina_widgets.widgets.receptive_field_viewer import ReceptiveFieldViewer
from openretina_widgets.widgets.retina_lab import RetinaLab
from openretina_widgets.widgets.stimulus_designer import StimulusDesigner
from openretina_widgets.widgets.stimulus_kinds import KINDS as STIMULI
from openretina_widgets.widgets.stimulus_optimizer import StimulusOptimizer
from openretina_widgets.widgets.stimulus_player import StimulusPlayer
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


@pytest.mark.parametrize("suffix", [".html", ".png", ".svg", ".gif", ".mp4", ".npz", ".zip"])
def test_a_player_saves_its_stimulus(suffix, tmp_path):
    movie = np.random.default_rng(0).normal(size=(2, 8, 18, 16)).astype(np.float32)
    player = StimulusPlayer(movie, title="<b>mine</b>", frame_rate=20.0, limits=2.0)
    file = player.export(tmp_path / f"stimulus{suffix}")
    assert file.stat().st_size > 500
    if suffix == ".npz":
        again = from_archive(file)
        np.testing.assert_array_equal(again.stimulus.numpy(), movie)
        assert (again.frame_rate, again.channels) == (20.0, ("green", "UV"))
    if suffix == ".html":
        assert "<b>mine" not in file.read_text(encoding="utf-8")
    with pytest.raises(FileExistsError):
        player.export(file)
    with pytest.raises(NotReproducible, match=r"handed in as an array.*save it as \.npz"):
        player.export(tmp_path / "stimulus.ipynb")
    player.clear()
    with pytest.raises(RuntimeError, match="no stimulus to save yet"):
        player.export(tmp_path / "nothing.html")
    player.close()


@pytest.mark.parametrize("kind", STIMULI)
def test_the_designer_saves_what_makes_its_stimulus_again(kind, synthetic, tmp_path):
    designer = StimulusDesigner(synthetic, kind=kind)
    try:
        designer.selection.neurons = (3, 40)
        if "direction" in designer.parameters:
            designer.set(direction=35.0)
        shown = designer.exported
        np.testing.assert_array_equal(shown.response, designer.response[:, [3, 40]])
        notebook = nbformat.read(designer.export(tmp_path / "made.ipynb"), as_version=4)
    finally:
        designer.close()
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    names: dict[str, object] = {}
    exec("\n".join(cell.replace(".plot()", "") for cell in cells), names)
    again = names["shown_stimulus"]
    assert again.stimulus.equal(shown.stimulus)
    torch.testing.assert_close(
        torch.from_numpy(again.response), torch.from_numpy(shown.response), rtol=1e-6, atol=1e-6
    )


def test_the_designer_saves_in_every_format(synthetic, tmp_path):
    designer = StimulusDesigner(synthetic, kind="moving_bar")
    try:
        (menu,) = menus(designer)
        assert ".mp4" in [value for _, value in menu.children[0].options]
        for suffix in designer.export_formats:
            assert designer.export(tmp_path / f"bar{suffix}").stat().st_size > 500
        again, shown = from_archive(tmp_path / "bar.npz"), designer.exported
        assert again.stimulus.equal(shown.stimulus)
        np.testing.assert_array_equal(again.response, shown.response)
        for name in ("title", "neurons", "cell_types", "window", "events", "settings", "model"):
            assert getattr(again, name) == getattr(shown, name), name
    finally:
        designer.close()


async def test_the_lab_saves_a_designed_stimulus_with_the_rest(synthetic, tmp_path):
    lab = RetinaLab(synthetic)
    try:
        for _ in range(500):
            if lab.designer.stimulus is not None:
                break
            await asyncio.sleep(0.02)
        assert list(lab.exported) == ["Stimulus designer"]
    finally:
        lab.close()
