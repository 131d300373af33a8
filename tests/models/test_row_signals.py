"""Inside the rows of direction-selective neurons, and what is left when a part is taken out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import openretina_widgets as orw
from openretina_widgets.data_io.artificial_stimuli import drifting_grating, moving_bar
from openretina_widgets.models.direction_circuit import FACILITATION, THRESHOLD, VETO
from openretina_widgets.models.synthetic import RowSignals, SyntheticRetina, load_synthetic

MODEL = load_synthetic()
RETINA: SyntheticRetina = MODEL.module
ON_OFF_DS, ON_DS = MODEL.neurons_of("ON-OFF DS"), MODEL.neurons_of("ON DS")
HASH_AS_EMBEDDED = "73879264ef9cd022"  # results that were saved carry it


def noise(frames: int = 45, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(MODEL.stimulus_shape(frames, batch), generator=generator).clamp(-1, 1)


def bar(neuron: int, away_deg: float, model: orw.RetinaModel = MODEL) -> torch.Tensor:
    """A bright bar that moves over a neuron, so many degrees from its preferred direction."""
    cell = RETINA.ground_truth[neuron]
    return moving_bar(
        model,
        direction=(cell.preferred_direction_deg or 0.0) + away_deg,
        width=1000,
        length=300,
        centre=(cell.x_um, cell.y_um),
    ).batch


def gratings(model: orw.RetinaModel, hz: float = 2.0, **settings: float) -> np.ndarray:
    """Mean responses to a grating towards each cell's direction, and back: (2, DS neuron)."""
    neurons = [*ON_OFF_DS, *ON_DS]
    found = np.zeros((2, len(neurons)))
    for k, neuron in enumerate(neurons):
        direction = RETINA.ground_truth[neuron].preferred_direction_deg or 0.0
        for way in (0, 1):
            movie = drifting_grating(
                model, direction=(direction + 180 * way) % 360, temporal_frequency=hz, **settings
            )
            with torch.no_grad():
                response = model(movie.batch)[0, slice(*movie.response_window), neuron]
            found[way, k] = float(response.mean())
    return found


def contrast(responses: np.ndarray) -> np.ndarray:
    return (responses[0] - responses[1]) / responses.sum(0)


# The signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stimulus", [noise(), bar(ON_OFF_DS[0], 0), bar(ON_DS[5], 180)])
def test_the_signals_recombine_to_the_response(stimulus: torch.Tensor) -> None:
    response = MODEL(stimulus)
    for neuron in (*ON_OFF_DS, *ON_DS):
        rows = RETINA.row_signals(stimulus, neuron=neuron)
        drive = RETINA.bias[neuron] + sum(row.output for row in rows.values())
        torch.testing.assert_close(F.softplus(drive), response[..., neuron], atol=1e-6, rtol=1e-6)
        for row in rows.values():
            inside = row.excitation + row.help - row.veto - THRESHOLD
            passed = F.softplus(10 * inside) / 10
            torch.testing.assert_close(row.subunits, passed, atol=1e-6, rtol=1e-6)


def test_an_on_neuron_has_one_row_and_an_on_off_neuron_two() -> None:
    movie = noise(30)
    assert list(RETINA.row_signals(movie, neuron=ON_DS[0])) == ["ON"]
    rows = RETINA.row_signals(movie, neuron=ON_OFF_DS[0])
    assert list(rows) == ["ON", "OFF"]
    for polarity, row in rows.items():
        assert isinstance(row, RowSignals)
        assert row.polarity == polarity
        for signal in (row.excitation, row.help, row.veto, row.subunits):
            assert signal.shape == (2, 5, 30 - RETINA.lag)
            assert float(signal.min()) >= 0
        assert row.output.shape == (2, 30 - RETINA.lag)
        assert row.positions_um.tolist() == [-150, -75, 0, 75, 150]
        assert row.weights.argmax() == 2
    # What is brighter for one row is darker for the other.
    negative = RETINA.row_signals(-movie, neuron=ON_OFF_DS[0])
    torch.testing.assert_close(negative["OFF"].subunits, rows["ON"].subunits)
    assert not torch.allclose(rows["OFF"].subunits, rows["ON"].subunits)


@pytest.mark.parametrize("neuron", [ON_OFF_DS[0], ON_OFF_DS[6], ON_DS[4], ON_DS[10]])
def test_motion_meets_the_subunits_in_order_and_the_veto_comes_too_late(neuron: int) -> None:
    def peaks(away_deg: float) -> tuple[np.ndarray, ...]:
        row = RETINA.row_signals(bar(neuron, away_deg), neuron=neuron)["ON"]
        signals = (row.excitation, row.help, row.veto)
        return tuple(signal[0].argmax(-1).numpy() for signal in signals)

    delay = RETINA.row_signals(noise(30), neuron=neuron)["ON"].delay_frames
    step = 75 / 1000 * 30  # frames from a unit to the next, at 1000 µm/s
    excitation, helped, vetoed = peaks(0)
    assert (np.diff(excitation) > 0).all()
    assert np.diff(excitation) == pytest.approx(np.full(4, step), abs=1.01)
    assert helped - excitation == pytest.approx(np.full(5, delay - step), abs=1.01)
    assert vetoed - excitation == pytest.approx(np.full(5, delay + step), abs=1.01)
    excitation, helped, vetoed = peaks(180)
    assert (np.diff(excitation) < 0).all()
    assert helped - excitation == pytest.approx(np.full(5, delay + step), abs=1.01)
    assert vetoed - excitation == pytest.approx(np.full(5, delay - step), abs=1.01)


def test_the_signals_can_be_differentiated() -> None:
    movie = noise(25, 1).requires_grad_()
    RETINA.row_signals(movie, neuron=ON_DS[0])["ON"].veto.sum().backward()
    assert movie.grad is not None
    assert float(movie.grad.abs().max()) > 0


@pytest.mark.parametrize("neuron", [0, 27, 60, -1, 84])
def test_another_neuron_is_refused_and_the_nearest_named(neuron: int) -> None:
    nearest = "28 · ON-OFF DS 0°" if neuron < 30 else "55 · ON DS 240°"
    with pytest.raises(ValueError, match=f"direction-selective one, got {neuron}.*{nearest}"):
        RETINA.row_signals(noise(30), neuron=neuron)


def test_a_wrong_stimulus_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(batch, 2, time, 18, 16\), got \(2, 30, 18, 16\)"):
        RETINA.row_signals(noise(30)[0], neuron=28)
    with pytest.raises(ValueError, match="19 frames are too short; the shortest that works is 20"):
        RETINA.row_signals(noise(30)[:, :, :19], neuron=28)
    with pytest.raises(TypeError, match="stimulus: expected a torch tensor, got ndarray"):
        RETINA.row_signals(noise(30).numpy(), neuron=28)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="neuron: expected a whole number, got '28'"):
        RETINA.row_signals(noise(30), neuron="28")  # type: ignore[arg-type]


# Without veto or help ------------------------------------------------------------------------


def test_the_retina_as_it_is_embedded_keeps_its_hash() -> None:
    for model in (MODEL, orw.load_model("synthetic"), load_synthetic(veto=VETO)):
        assert model.weight_hash == HASH_AS_EMBEDDED
        assert (model.name, model.source) == ("synthetic", "embedded, seed 0")
        assert model.module.lesion == ""


def test_another_strength_is_another_model_and_says_so() -> None:
    kinds = [{"veto": 0}, {"veto": 1}, {"facilitation": 0}, {"veto": 0, "facilitation": 0.25}]
    models = [load_synthetic(**kind) for kind in kinds]
    assert len({model.weight_hash for model in (MODEL, *models)}) == 5
    assert [model.name for model in models] == [
        "synthetic, veto 0",
        "synthetic, veto 1",
        "synthetic, facilitation 0",
        "synthetic, veto 0, facilitation 0.25",
    ]
    assert models[0].source == "embedded, seed 0, veto 0"
    assert models[0].neurons()[28].note == "Wired as ON-OFF DS 0°, but with veto 0."
    assert models[0].neurons()[0] == MODEL.neurons()[0]
    # The state cannot be put into a retina that computes otherwise.
    with pytest.raises(RuntimeError, match="strengths"):
        RETINA.load_state_dict(models[0].module.state_dict())


def test_with_veto_and_help_gone_nothing_tells_the_directions_apart() -> None:
    intact, neither = gratings(MODEL), gratings(load_synthetic(veto=0, facilitation=0))
    assert contrast(intact).min() > 0.9
    # By symmetry: the row is the same from both ends, and the pixels cut it a little differently.
    assert np.abs(contrast(neither)).max() < 0.01
    assert (neither[1] > 10 * intact[1]).all()  # it fires, in both directions


def test_the_veto_makes_the_selectivity_and_the_help_the_strength() -> None:
    intact, no_veto = gratings(MODEL), gratings(load_synthetic(veto=0))
    no_help = gratings(load_synthetic(facilitation=0))
    assert contrast(no_veto).max() < 0.35
    assert contrast(no_veto).min() > 0.05  # the help alone prefers the direction a little
    assert contrast(no_help).min() > 0.9
    assert (no_help[0] < 0.6 * intact[0]).all()
    assert (no_veto[1] > 10 * intact[1]).all()


def test_other_neurons_are_untouched_bit_for_bit() -> None:
    movie = noise(40)
    others = [n for n in range(84) if n not in (*ON_OFF_DS, *ON_DS)]
    for kind in ({"veto": 0}, {"facilitation": 0}, {"veto": 7.5, "facilitation": 0}):
        lesioned = load_synthetic(**kind)
        assert torch.equal(lesioned(movie)[..., others], MODEL(movie)[..., others])
        assert not torch.allclose(lesioned(movie)[..., ON_DS], MODEL(movie)[..., ON_DS])
        rows = lesioned.module.row_signals(movie, neuron=28)["ON"]
        whole = RETINA.row_signals(movie, neuron=28)["ON"]
        assert torch.equal(rows.excitation, whole.excitation)
        factor = kind.get("veto", VETO) / VETO, kind.get("facilitation", FACILITATION)
        torch.testing.assert_close(rows.veto, factor[0] * whole.veto)
        torch.testing.assert_close(rows.help, factor[1] / FACILITATION * whole.help)


@pytest.mark.parametrize("name", ["veto", "facilitation"])
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (-1, ValueError, "expected at least 0, got -1; the nearest is 0"),
        (float("nan"), ValueError, "expected a finite number of at least 0, got nan"),
        (float("inf"), ValueError, "expected a finite number of at least 0, got inf"),
        ("none", TypeError, "expected a number, got 'none'"),
        (True, TypeError, "expected a number, got True"),
    ],
)
def test_a_strength_that_is_none_is_refused(
    name: str, value: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"{name}: {words}"):
        load_synthetic(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("spatial_frequency", [1.25, 2.5, 4.0])
def test_the_preference_flips_where_the_delay_is_half_a_period(spatial_frequency: float) -> None:
    """A periodic stimulus that is late by more than half a period is early by less.

    Forward, the veto lags by ``f d + x / λ`` periods, backward by ``f d - x / λ``: these are as far
    from the next whole period where ``f d`` is 1/2, at whatever wavelength.
    """
    for neurons, neuron in ((slice(0, 16), ON_OFF_DS[0]), (slice(16, None), ON_DS[0])):
        delay = RETINA.row_signals(noise(30), neuron=neuron)["ON"].delay_frames
        flips_at = MODEL.frame_rate / (2 * delay)
        settings = {"spatial_frequency": spatial_frequency}
        below, above = (gratings(MODEL, flips_at + by, **settings) for by in (-0.4, 0.4))
        assert (contrast(below)[neurons] > 0.02).all()
        assert (contrast(above)[neurons] < -0.02).all()
