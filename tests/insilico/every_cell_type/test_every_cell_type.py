"""Every cell of the embedded retina shows what its type must show: the table is in `claims`."""

from __future__ import annotations

import numpy as np
import pytest

import openretina_widgets as orw
from tests.insilico.every_cell_type.claims import CLAIMS, EVERY, Claim
from tests.insilico.every_cell_type.measured import Measured


@pytest.fixture(scope="session")
def measured() -> Measured:
    return Measured(orw.load_model("synthetic"))


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_every_cell_of_the_type(claim: Claim, measured: Measured) -> None:
    cells = measured.of(*claim.types)
    values = np.asarray(claim.value(measured), dtype=float)
    assert values.shape == (measured.n,)
    values = values[cells]
    print(f"{claim}: {values.min():.4g} … {values.max():.4g}, {len(cells)} cells")
    wrong = {
        f"{measured.truth[cell].cell_type} {cell}": round(float(value), 5)
        for cell, value in zip(cells, values, strict=True)
        if not claim.low <= value <= claim.high  # NaN is wrong as well
    }
    assert not wrong, f"expected {claim.low:g} to {claim.high:g}: {claim.because}"


def test_each_type_has_four_cells_and_a_claim_of_its_own(measured: Measured) -> None:
    own = {name for claim in CLAIMS if len(claim.types) < 8 for name in claim.types}
    assert own == set(EVERY)
    assert all(len(measured.of(name)) == 4 for name in EVERY)
    assert len(measured.of(*EVERY)) == measured.n == 84


def test_the_suggested_type_is_right(measured: Measured) -> None:
    assert measured.suggestion_is_right.mean() >= 0.95
