"""The optimiser finds what is built into the synthetic retina, with the settings a user gets."""

from __future__ import annotations

import pytest
import torch

from openretina_widgets import OptimizationResult, optimize_neurons
from openretina_widgets.models.synthetic import load_synthetic
from openretina_widgets.models.synthetic_cells import GroundTruth
from tests.models.test_synthetic import at_centre, motion_energy

MODEL = load_synthetic()
CELLS: tuple[GroundTruth, ...] = MODEL.module.ground_truth


def of_type(name: str) -> list[GroundTruth]:
    return [cell for cell in CELLS if cell.cell_type == name]


@pytest.fixture(scope="module")
def optima() -> dict[int, torch.Tensor]:
    cells = [
        *of_type("ON sustained"),
        *of_type("OFF sustained"),
        *(cell for cell in CELLS if cell.preferred_direction_deg is not None),
    ]
    result: OptimizationResult = optimize_neurons(MODEL, [cell.index for cell in cells], seed=0)
    return dict(zip((cell.index for cell in cells), result.stimulus, strict=True))


def test_optimum_of_the_linear_control_is_its_filter() -> None:
    cells = of_type("linear control")
    result = optimize_neurons(
        MODEL, [cell.index for cell in cells], time_steps=MODEL.lag + 1, norm=5.0, seed=0
    )
    for cell, best in zip(cells, result.stimulus, strict=True):
        kernel = MODEL.module.linear_filter(cell.index)
        cosine = torch.cosine_similarity(best.flatten(), kernel.flatten(), dim=0)
        assert cosine >= 0.99, (cell.index, float(cosine))


def test_optima_of_on_and_off_cells_have_opposite_centres(optima: dict[int, torch.Tensor]) -> None:
    for name, sign in (("ON sustained", 1), ("OFF sustained", -1)):
        for cell in of_type(name):
            centre = at_centre(cell, optima[cell.index].sum(0))
            assert sign * centre[MODEL.lag : -3].mean() > 0.5, cell


def test_optima_of_direction_selective_cells_move_as_built(
    optima: dict[int, torch.Tensor],
) -> None:
    moving = [cell for cell in CELLS if cell.preferred_direction_deg is not None]
    assert len({cell.preferred_direction_deg for cell in moving}) >= 4
    for cell in moving:
        towards, against = motion_energy(optima[cell.index], cell.preferred_direction_deg)
        assert towards > 2 * against, (cell.cell_type, towards / against)
