"""Each cell of the embedded retina does what its ground truth says, measured on stimuli.

Stimuli are movies ``(stimulus, channel, frame, row, column)`` after enough grey for the model's
lag, so that response frame k belongs to movie frame k.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import curve_fit

from openretina_widgets.models import RetinaModel
from openretina_widgets.models.synthetic import GroundTruth, SyntheticRetina, load_synthetic

HZ, PIXEL, HEIGHT, WIDTH = 30, 50.0, 18, 16
X = (torch.arange(WIDTH) - (WIDTH - 1) / 2) * PIXEL
Y = ((HEIGHT - 1) / 2 - torch.arange(HEIGHT))[:, None] * PIXEL
DIRECTIONS = torch.arange(0.0, 360.0, 30.0)
MODEL = load_synthetic()
RETINA: SyntheticRetina = MODEL.module
CELLS = RETINA.ground_truth
LAG = RETINA.lag

TYPES = tuple(dict.fromkeys(cell.cell_type for cell in CELLS))
ON_OFF_DS = [t for t in TYPES if t.startswith("ON-OFF DS")]
ON_DS = [t for t in TYPES if t.startswith("ON DS")]
OS = [t for t in TYPES if t.startswith("OS")]


def of_type(*names: str) -> list[GroundTruth]:
    found = [cell for cell in CELLS if cell.cell_type in names]
    assert found
    return found


# Stimuli -------------------------------------------------------------------------------------


def soft(distance_um: torch.Tensor) -> torch.Tensor:
    """Return how much of a pixel lies on the positive side of an edge."""
    return (distance_um / PIXEL + 0.5).clamp(0, 1)


def spot(cell: GroundTruth, diameter_um: float) -> torch.Tensor:
    return soft(diameter_um / 2 - torch.hypot(X - cell.x_um, Y - cell.y_um))


def along(direction_deg: float) -> tuple[torch.Tensor, torch.Tensor]:
    cos, sin = math.cos(math.radians(direction_deg)), math.sin(math.radians(direction_deg))
    return X * cos + Y * sin, Y * cos - X * sin


def course(*steps: tuple[float, float]) -> torch.Tensor:
    """Return contrast over time from (seconds, contrast)."""
    return torch.cat([torch.full((round(s * HZ),), c) for s, c in steps])


def flash(image: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    return contrast[:, None, None] * image


def grating(direction_deg: float, wavelength_um: float, hz: float, s: float = 2.0) -> torch.Tensor:
    position, _ = along(direction_deg)
    t = torch.arange(round(s * HZ))[:, None, None] / HZ
    return torch.sin(2 * math.pi * (position / wavelength_um - hz * t))


def bar(direction_deg: float, *, contrast: float = 1.0, um_s: float = 1000.0) -> torch.Tensor:
    """300 x 1000 µm, from beyond one side of the frame to beyond the other."""
    position, across = along(direction_deg)
    t = torch.arange(round(1700 / um_s * HZ))[:, None, None] / HZ
    leading = -650 + um_s * t
    return (
        contrast
        * soft(leading - position)
        * soft(position - leading + 300)
        * soft(500 - across.abs())
    )


def edges(cell: GroundTruth, contrast: float) -> torch.Tensor:
    """Return a bar so wide that one edge has left the receptive field when the other comes.

    It moves along the preferred direction at 900 µm/s; the middle frame has it over the cell.
    """
    position, _ = along(cell.preferred_direction_deg or 0.0)
    here = position[0, 0] * 0 + cell_position(cell)
    t = (torch.arange(81) - 40)[:, None, None] / HZ
    return contrast * soft(here + 900 * t + 500 - position) * soft(position - here - 900 * t + 500)


def cell_position(cell: GroundTruth) -> float:
    angle = math.radians(cell.preferred_direction_deg or 0.0)
    return cell.x_um * math.cos(angle) + cell.y_um * math.sin(angle)


def respond(movies: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return (movie, frame, neuron) for movies of (frame, row, column) or with two channels."""
    stimulus = torch.stack(list(movies))
    if stimulus.ndim == 4:
        stimulus = stimulus[:, None].expand(-1, 2, -1, -1, -1)
    grey = torch.zeros(len(stimulus), 2, LAG, HEIGHT, WIDTH)
    with torch.no_grad():
        return MODEL(torch.cat([grey, stimulus], dim=2))


def respond_each(cells: Sequence[GroundTruth], movies: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return (cell, frame): each cell's response to its own movie."""
    return respond(movies)[torch.arange(len(cells)), :, [cell.index for cell in cells]]


REST = respond([torch.zeros(1, HEIGHT, WIDTH)])[0, 0]


# Measures ------------------------------------------------------------------------------------


def selectivity(rates: torch.Tensor, order: int) -> tuple[float, float]:
    """Return the vector-sum index and angle (degrees) over DIRECTIONS; order 1 DSI, 2 OSI."""
    vector = (rates * torch.exp(1j * order * torch.deg2rad(DIRECTIONS))).sum() / rates.sum()
    return float(vector.abs()), math.degrees(float(vector.angle())) / order % (360 / order)


def angle_between(a: float, b: float, period: float = 360.0) -> float:
    return abs((a - b + period / 2) % period - period / 2)


def transience(rate: torch.Tensor, rest: torch.Tensor) -> float:
    above = (rate - rest).numpy()
    smooth = np.convolve(above, np.ones(9) / 9, mode="same")  # mean over +-0.15 s
    peak = int(above.argmax())
    return 1 - smooth[peak + 12] / smooth[peak]


def gradient(cell: GroundTruth, base: torch.Tensor) -> torch.Tensor:
    """Return the gradient (channel, lag + 1, row, column) of the last response frame."""
    stimulus = base.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(MODEL(stimulus)[0, -1, cell.index], stimulus)
    return found[0, :, -LAG - 1 :]


def grey(frames: int = LAG + 1) -> torch.Tensor:
    return torch.zeros(1, 2, frames, HEIGHT, WIDTH)


def at_centre(cell: GroundTruth, field: torch.Tensor) -> torch.Tensor:
    """Return the values of (..., row, column) on the pixel nearest to the cell's centre."""
    row, column = (Y[:, 0] - cell.y_um).abs().argmin(), (X - cell.x_um).abs().argmin()
    return field[..., row, column]


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def best_stimuli(
    neurons: Sequence[int], *, seed: int = 0, sign: float = 1.0, frames: int = LAG + 16,
    norm: float = 15.0, limit: float = 1.0, steps: int = 30,
) -> torch.Tensor:  # fmt: skip
    """Climb from small noise in steps of fixed length, within a norm and a range."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(neurons), 2, frames, HEIGHT, WIDTH)
    stimulus = 0.02 * torch.randn(shape, generator=generator)
    rows, columns = torch.arange(len(neurons)), torch.as_tensor(neurons)

    def unit(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x.flatten(1), dim=1).view_as(x)

    for _ in range(steps):
        stimulus.requires_grad_()
        score = MODEL(stimulus)[rows, :, columns].mean(1).sum()
        (slope,) = torch.autograd.grad(sign * score, stimulus)
        moved = stimulus.detach() + 0.1 * norm * unit(slope)
        length = moved.flatten(1).norm(dim=1).clamp(min=norm).view(-1, 1, 1, 1, 1)
        stimulus = (norm * moved / length).clamp(-limit, limit)
    return stimulus.detach()


@pytest.fixture(scope="module")
def optima() -> torch.Tensor:
    """Best stimulus of every neuron, (neuron, channel, frame, row, column)."""
    return best_stimuli(range(len(CELLS)))


# The population ------------------------------------------------------------------------------


def test_the_model_says_what_it_is() -> None:
    assert isinstance(MODEL, RetinaModel)
    assert MODEL.lag == RETINA.lag <= 20
    assert MODEL.input_shape == (2, 18, 16)
    assert MODEL.channels == ("green", "UV")
    assert MODEL.sessions == ("synthetic",)
    assert (MODEL.frame_rate, MODEL.pixel_size_um) == (30.0, 50.0)
    assert MODEL.stimulus_range == ((-1.0, 1.0), (-1.0, 1.0))
    assert [n.note for n in MODEL.neurons()] == [cell.note for cell in CELLS]
    assert not list(RETINA.parameters())


def test_every_type_has_four_cells_at_known_distinct_places_within_the_frame() -> None:
    assert [cell.index for cell in CELLS] == list(range(MODEL.n_neurons()))
    assert min(Counter(cell.cell_type for cell in CELLS).values()) >= 4
    for name in TYPES:
        places = {(cell.x_um, cell.y_um) for cell in of_type(name)}
        assert len(places) == len(of_type(name))
    for cell in CELLS:
        reach = 2 * cell.centre_sigma_um
        assert abs(cell.x_um) + reach <= WIDTH * PIXEL / 2
        assert abs(cell.y_um) + reach <= HEIGHT * PIXEL / 2


def test_twins_sit_at_the_same_place() -> None:
    twins = [cell for cell in CELLS if cell.twin is not None]
    assert {cell.cell_type for cell in twins} == {
        f"{polarity} {rest}"
        for polarity in ("ON", "OFF")
        for rest in ("transient", "sustained, no surround")
    }
    for cell in twins:
        twin = CELLS[cell.twin]
        assert twin.cell_type == f"{cell.polarity} sustained"
        assert (twin.x_um, twin.y_um) == (cell.x_um, cell.y_um)


def test_the_table_holds_the_ground_truth() -> None:
    rows = RETINA.ground_truth_table()
    assert len(rows) == len(CELLS)
    assert rows[0]["cell_type"] == "ON sustained"
    assert rows[0]["note"]
    for row, neuron in zip(rows, MODEL.neurons(), strict=True):
        assert GroundTruth(**row).neuron == neuron


# Mechanics -----------------------------------------------------------------------------------


def test_the_seed_decides_where_cells_sit() -> None:
    torch.manual_seed(1)
    again = load_synthetic(seed=0)
    other = load_synthetic(seed=1)
    assert again.weight_hash == MODEL.weight_hash != other.weight_hash
    assert again.neurons() == MODEL.neurons() != other.neurons()
    stimulus = torch.randn(MODEL.stimulus_shape(30))
    assert torch.equal(again(stimulus), MODEL(stimulus))
    assert not torch.allclose(other(stimulus), MODEL(stimulus))


def test_building_it_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    SyntheticRetina(seed=3)
    assert torch.equal(before, torch.get_rng_state())


def test_time_and_batch_do_not_matter() -> None:
    stimulus = torch.randn(3, 2, 60, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    whole = MODEL(stimulus)
    assert whole.shape == (3, 60 - LAG, len(CELLS))
    assert torch.allclose(whole[:, :20], MODEL(stimulus[:, :, : 20 + LAG]), atol=1e-5)
    assert torch.allclose(whole[:, 20:], MODEL(stimulus[:, :, 20:]), atol=1e-5)
    alone = torch.cat([MODEL(one[None]) for one in stimulus])
    assert torch.allclose(whole, alone, atol=1e-5)


def test_double_precision_agrees() -> None:
    stimulus = torch.randn(1, 2, 40, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    double = SyntheticRetina(seed=0).double()(stimulus.double())
    assert double.dtype == torch.float64
    assert torch.allclose(double.float(), MODEL(stimulus), atol=1e-4)


@pytest.mark.parametrize("contrast", [0.0, 1.0, -1.0, 100.0])
def test_rates_and_gradients_are_finite(contrast: float) -> None:
    stimulus = torch.full((1, 2, LAG + 5, HEIGHT, WIDTH), contrast, requires_grad=True)
    rates = MODEL(stimulus)
    (slope,) = torch.autograd.grad(rates.sum(), stimulus)
    assert torch.isfinite(rates).all()
    assert (rates >= 0).all()
    assert torch.isfinite(slope).all()


def test_no_gradient_is_dead_in_small_noise() -> None:
    every = torch.arange(len(CELLS))
    noise = 0.01 * torch.randn(grey().shape, generator=torch.Generator().manual_seed(0))
    stimulus = noise.repeat(len(CELLS), 1, 1, 1, 1).requires_grad_()
    (slope,) = torch.autograd.grad(MODEL(stimulus)[every, -1, every].sum(), stimulus)
    assert slope.flatten(1).norm(dim=1).min() > 1e-5


def test_every_cell_optimises_from_small_noise(optima: torch.Tensor) -> None:
    every = torch.arange(len(CELLS))
    with torch.no_grad():
        best = MODEL(optima)[every, :, every].mean(1)
    for cell in CELLS:
        assert best[cell.index] > REST[cell.index] + 0.2, cell
    some = every[::4]  # one of each type
    other = best_stimuli(some.tolist(), seed=1)
    with torch.no_grad():
        again = MODEL(other)[torch.arange(len(some)), :, some].mean(1)
    assert (again / best[some]).min() > 0.85


def test_a_wrong_session_is_named() -> None:
    with pytest.raises(ValueError, match=r"no session 'mouse'.*'synthetic'"):
        RETINA(grey(), data_key="mouse")


# Polarity, time course, size -----------------------------------------------------------------


def test_on_off_index_of_a_spot() -> None:
    cells = [cell for cell in CELLS if cell.on_off_index_range is not None]
    steps = course((1, -1), (1, 1), (1, -1))
    rates = respond_each(cells, [flash(spot(cell, 300), steps) for cell in cells])
    for cell, rate in zip(cells, rates, strict=True):
        above = (rate - REST[cell.index]).clamp(min=0)
        on, off = float(above[30:60].mean()), float(above[60:90].mean())
        low, high = cell.on_off_index_range
        assert low <= (on - off) / (on + off) <= high, cell


def test_receptive_field_has_the_polarity_of_the_cell() -> None:
    cells = [c for c in CELLS if c.circuit == "linear" and c.cell_type != "colour opponent"]
    for cell in cells:
        kernel = at_centre(cell, gradient(cell, grey()).sum(0))
        peak = kernel[kernel.abs().argmax()]
        assert (peak > 0) == (cell.polarity == "ON"), cell


def test_area_summation() -> None:
    diameters = torch.arange(50.0, 901.0, 50.0).tolist()
    for polarity, contrast in (("ON", 1.0), ("OFF", -1.0)):
        for cell in of_type(f"{polarity} sustained", f"{polarity} sustained, no surround"):
            steps = course((1, contrast))
            rates = respond([flash(spot(cell, d), steps) for d in diameters])
            curve = rates[:, 15:, cell.index].mean(1)
            suppression = float((curve.max() - curve[-1]) / curve.max())
            if cell.surround_sigma_um is None:
                assert suppression <= 0.02, cell
            else:
                assert suppression >= 0.3, cell
                assert 250 <= diameters[int(curve.argmax())] <= 450, cell


def test_transient_cells_stop_and_their_twins_go_on() -> None:
    for polarity, contrast in (("ON", 1.0), ("OFF", -1.0)):
        cells = of_type(f"{polarity} transient")
        rates = respond([flash(spot(c, 300), course((1.5, contrast))) for c in cells])
        for rate, cell in zip(rates, cells, strict=True):
            assert transience(rate[:, cell.index], REST[cell.index]) >= 0.9, cell
            assert transience(rate[:, cell.twin], REST[cell.twin]) <= 0.3, cell


def test_transient_kernels_are_biphasic() -> None:
    for cell in of_type("ON transient", "OFF transient"):
        for neuron, biphasic in ((cell, True), (CELLS[cell.twin], False)):
            kernel = at_centre(neuron, gradient(neuron, grey()).sum(0))
            kernel = kernel * kernel[kernel.abs().argmax()].sign()
            second_lobe = float(-kernel.min() / kernel.max())
            assert (second_lobe >= 0.4) if biphasic else (second_lobe <= 0.15), neuron


def test_transient_cells_are_band_pass() -> None:
    frequencies = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 12.0)
    cells = of_type("ON transient", "OFF transient")
    t = torch.arange(4 * HZ) / HZ
    for cell in cells:
        movies = [flash(spot(cell, 300), 0.2 * torch.sin(2 * math.pi * f * t)) for f in frequencies]
        rates = respond(movies)[:, 2 * HZ :]  # whole cycles of each frequency
        wave = torch.exp(-2j * math.pi * torch.tensor(frequencies)[:, None] * t[2 * HZ :])
        for neuron, band_pass in ((cell.index, True), (cell.twin, False)):
            f1 = 2 * (rates[:, :, neuron] * wave).mean(1).abs()
            f1 = f1 / f1.max()
            assert f1[-1] < 0.2
            assert (f1[0] < 0.3 and 2 <= int(f1.argmax()) <= 4) if band_pass else f1[0] > 0.85


# ON-OFF, suppressed by contrast, colour ------------------------------------------------------


@pytest.fixture(scope="module")
def noise() -> tuple[torch.Tensor, torch.Tensor]:
    """Binary noise of 100 µm checks: (stimulus, frame, row, column), and the rates.

    The second half is the first with the contrast reversed: balanced noise, in which what is even
    in contrast averages out of a triggered average without sampling error.
    """
    checks = torch.randint(0, 2, (16, 400 + LAG, 9, 8), generator=torch.Generator().manual_seed(0))
    movie = (2.0 * checks - 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    movie = torch.cat([movie, -movie])
    with torch.no_grad():
        rates = MODEL(movie[:, None].expand(-1, 2, -1, -1, -1))
    return movie, rates


def triggered(noise: tuple[torch.Tensor, torch.Tensor], cell: GroundTruth) -> torch.Tensor:
    """Return the spike-triggered average (lag + 1, row, column)."""
    movie, rates = noise
    rate = rates[:, :, cell.index]
    frames = [
        torch.einsum("bt,bthw->hw", rate, movie[:, k : k + rate.shape[1]]) for k in range(LAG + 1)
    ]
    return torch.stack(frames) / rate.sum()


def test_on_off_cells_have_no_triggered_average_but_a_local_gradient(
    noise: tuple[torch.Tensor, torch.Tensor],
) -> None:
    movie, rates = noise

    def along_gradient(cell: GroundTruth, slope: torch.Tensor) -> float:
        return float((triggered(noise, cell) * slope).sum() / slope.norm())

    transient = of_type("ON transient")
    strong = min(along_gradient(c, gradient(c, grey()).sum(0)) for c in transient)
    for cell in of_type("ON-OFF"):
        bright = flash(spot(cell, 300), course((LAG / HZ, 0.0), (0.1, 0.5)))
        base = bright[None, None].expand(1, 2, -1, -1, -1)
        slope, opposite = gradient(cell, base).sum(0), gradient(cell, -base).sum(0)
        assert at_centre(cell, slope).max() > 0.01
        assert cosine(slope, opposite) < -0.99
        assert abs(along_gradient(cell, slope)) < 0.02 * strong
        # What the average misses is there: the rate follows the energy along the gradient.
        drive = torch.nn.functional.conv3d(movie[:, None], slope[None, None]).flatten()
        energy_and_rate = torch.stack([drive**2, rates[..., cell.index].flatten()])
        assert torch.corrcoef(energy_and_rate)[0, 1] > 0.5


def test_contrast_suppresses() -> None:
    contrasts = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    t = torch.arange(2 * HZ) / HZ
    for cell in of_type("suppressed by contrast"):
        rest = float(REST[cell.index])
        assert rest > 1
        for image in (spot(cell, 100), spot(cell, 300), torch.ones(HEIGHT, WIDTH)):
            movies = [flash(image, c * torch.sin(4 * math.pi * t)) for c in contrasts]
            curve = respond(movies)[..., cell.index].mean(1)
            assert curve[0] < rest
            assert (curve.diff() < 0).all()
        for contrast in (1.0, -1.0):
            rate = respond([flash(spot(cell, 300), course((1, contrast)))])[0, 10:, cell.index]
            assert rate.max() < 0.1 * rest
        for direction in (0.0, 90.0):
            rate = respond([grating(direction, 400, 2)])[0, :, cell.index]
            assert rate.mean() < 0.85 * rest


def test_best_and_most_depressing_stimulus_of_suppressed_cells(optima: torch.Tensor) -> None:
    cells = of_type("suppressed by contrast")
    worst = best_stimuli([cell.index for cell in cells], sign=-1.0)
    with torch.no_grad():
        lowest = MODEL(worst).mean(1)
        highest = MODEL(optima).mean(1)
    for i, cell in enumerate(cells):
        assert lowest[i, cell.index] < 0.5 * REST[cell.index]
        assert highest[cell.index, cell.index] > 1.1 * REST[cell.index]
        centre = spot(cell, 250) > 0.5
        best, depressing = optima[cell.index] ** 2, worst[i] ** 2
        assert best[..., centre].sum() < 0.1 * best.sum()
        assert depressing[..., centre].sum() > 0.6 * depressing.sum()


def test_colour_opponent_quadrant() -> None:
    contrasts = torch.linspace(-1, 1, 5)
    for cell in of_type("colour opponent"):
        image = flash(spot(cell, 300), course((0.5, 1)))
        movies = [torch.stack([g * image, uv * image]) for g in contrasts for uv in contrasts]
        change = respond(movies)[:, 5:, cell.index].mean(1).view(5, 5) - REST[cell.index]
        green_off_uv_on, green_on_uv_off = change[:2, 3:], change[3:, :2]
        assert green_off_uv_on.min() > 0.5
        assert green_on_uv_off.max() < 0
        assert change.diagonal().abs().max() < 0.01  # brightness alone does nothing


# Direction and orientation -------------------------------------------------------------------


@pytest.fixture(scope="module")
def motion() -> dict[str, torch.Tensor]:
    """Mean rate (direction, neuron) for each stimulus that moves in DIRECTIONS."""
    directions = DIRECTIONS.tolist()
    stimuli = {
        "bright bar": [bar(d) for d in directions],
        "dark bar": [bar(d, contrast=-1.0) for d in directions],
        "slow bright bar": [bar(d, um_s=600) for d in directions],
        "fast bright bar": [bar(d, um_s=1500) for d in directions],
    }
    rates = {name: respond(movies).mean(1) for name, movies in stimuli.items()}
    # The second half of a grating: two whole cycles, after the transient of its appearance.
    rates["grating"] = respond([grating(d, 400, 2) for d in directions])[:, HZ:].mean(1)
    return rates


@pytest.mark.parametrize("stimulus", ["bright bar", "dark bar", "grating"])
def test_direction_selectivity(motion: dict[str, torch.Tensor], stimulus: str) -> None:
    types = ON_OFF_DS + ([] if stimulus == "dark bar" else ON_DS)
    for cell in of_type(*types):
        rates = motion[stimulus][:, cell.index]
        index, preferred = selectivity(rates, 1)
        assert index >= 0.5, cell
        assert angle_between(preferred, cell.preferred_direction_deg) <= 15, cell
        towards = int((cell.preferred_direction_deg == DIRECTIONS).nonzero())
        null = (towards + len(DIRECTIONS) // 2) % len(DIRECTIONS)
        assert rates[null] <= 0.1 * rates[towards], cell
        assert rates[null] <= rates.min() + 0.05 * rates[towards], cell


def test_on_off_cells_answer_both_edges_and_on_cells_the_brightening_one() -> None:
    cells = of_type(*ON_OFF_DS, *ON_DS)
    for contrast in (1.0, -1.0):
        rates = respond_each(cells, [edges(cell, contrast) for cell in cells])
        for cell, rate in zip(cells, rates, strict=True):
            above = rate - REST[cell.index]
            leading, trailing = float(above[:45].max()), float(above[45:].max())
            if cell.polarity == "ON-OFF":
                assert leading > 1, cell
                assert trailing == pytest.approx(leading, rel=0.1), cell
            else:
                bright, dark = (leading, trailing) if contrast > 0 else (trailing, leading)
                assert bright > 1, cell
                assert dark < 0.02 * bright, cell


def test_on_direction_cells_prefer_slower_motion(motion: dict[str, torch.Tensor]) -> None:
    slower = {}
    for name in (*ON_OFF_DS, *ON_DS):
        cells = of_type(name)
        towards = int((cells[0].preferred_direction_deg == DIRECTIONS).nonzero())
        slow, fast = (
            motion[f"{speed} bright bar"][towards, [c.index for c in cells]].mean()
            for speed in ("slow", "fast")
        )
        slower[name] = float(slow / fast)
    assert min(slower[name] for name in ON_DS) > 1.5 * max(slower[name] for name in ON_OFF_DS)


@pytest.mark.parametrize("stimulus", ["bright bar", "grating"])
def test_orientation_selectivity(motion: dict[str, torch.Tensor], stimulus: str) -> None:
    for cell in of_type(*OS):
        curve = motion[stimulus][:, cell.index]
        index, moving = selectivity(curve, 2)
        assert index >= 0.5, cell
        assert selectivity(curve, 1)[0] <= 0.02, cell
        bars = (moving - 90) % 180
        assert angle_between(bars, cell.preferred_orientation_deg, 180) <= 5, cell
    assert {c.preferred_orientation_deg for c in of_type(*OS)} == {0.0, 90.0}


def motion_energy(stimulus: torch.Tensor, direction_deg: float) -> tuple[float, float]:
    """Return the Fourier energy that moves towards and against a direction."""
    energy = torch.fft.fftn(stimulus.sum(0)).abs() ** 2
    t, y, x = (torch.fft.fftfreq(n) for n in energy.shape)
    angle = math.radians(direction_deg)
    moving = -t[:, None, None] * (x * math.cos(angle) - y[:, None] * math.sin(angle))
    return float(energy[moving > 0].sum()), float(energy[moving < 0].sum())


def test_motion_energy_knows_a_grating() -> None:
    for direction, wavelength_um in ((0.0, 400), (90.0, 450), (180.0, 400)):  # whole cycles
        towards, against = motion_energy(grating(direction, wavelength_um, 3)[None], direction)
        assert towards > 1000 * against


def test_optima_of_direction_selective_cells_move_as_built(optima: torch.Tensor) -> None:
    for cell in of_type(*ON_OFF_DS, *ON_DS):
        towards, against = motion_energy(optima[cell.index], cell.preferred_direction_deg)
        assert towards > 4 * against, cell


# Optima and gradients of linear circuits -----------------------------------------------------


def test_optima_of_on_and_off_cells_have_opposite_centres(optima: torch.Tensor) -> None:
    for on, off in zip(of_type("ON sustained"), of_type("OFF sustained"), strict=True):
        bright = at_centre(on, optima[on.index].sum(0))[LAG:-3]
        dark = at_centre(off, optima[off.index].sum(0))[LAG:-3]
        assert bright.min() > 0.5
        assert dark.max() < -0.5


def test_gradient_of_the_linear_control_is_its_filter_everywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    for cell in of_type("linear control"):
        kernel = RETINA.linear_filter(cell.index)
        assert kernel.shape == (2, LAG + 1, HEIGHT, WIDTH)
        for contrast in (0.0, 0.1, 1.0):
            base = contrast * torch.randn(grey().shape, generator=generator)
            assert cosine(gradient(cell, base), kernel) > 0.99999
        assert at_centre(cell, kernel.sum(0)).argmax() >= LAG - 4  # newest frame last
        on_off = of_type("ON-OFF")[0]
        apart = cosine(gradient(on_off, grey() + 0.5), gradient(on_off, grey() - 0.5))
        assert apart < 0  # what the control does not do


def test_optimum_of_the_linear_control_is_its_filter() -> None:
    cells = of_type("linear control")
    best = best_stimuli([c.index for c in cells], frames=LAG + 1, norm=5.0)
    for cell, stimulus in zip(cells, best, strict=True):
        assert cosine(stimulus, RETINA.linear_filter(cell.index)) >= 0.99, cell


def test_the_linear_control_fails_the_non_linear_phenomena(
    motion: dict[str, torch.Tensor], noise: tuple[torch.Tensor, torch.Tensor]
) -> None:
    for cell in of_type("linear control"):
        for rates in motion.values():
            assert selectivity(rates[:, cell.index], 1)[0] < 0.02
            assert selectivity(rates[:, cell.index], 2)[0] < 0.02
        kernel = RETINA.linear_filter(cell.index).sum(0)
        checks = torch.nn.functional.avg_pool2d(kernel, 2)
        average = torch.nn.functional.avg_pool2d(triggered(noise, cell), 2)
        assert cosine(average, checks) > 0.8


def test_only_linear_circuits_have_a_linear_filter() -> None:
    for cell in of_type("ON-OFF", "ON DS 0°"):
        with pytest.raises(
            ValueError, match=rf"linear circuit, got {cell.index}; the nearest is \d+ · "
        ):
            RETINA.linear_filter(cell.index)


# ON and OFF parasol-like cells ---------------------------------------------------------------


def centre_sigma_um(cell: GroundTruth, image: torch.Tensor) -> float:
    """Fit a difference of Gaussians at the cell's place; return the centre's σ."""
    squared = (torch.hypot(X - cell.x_um, Y - cell.y_um) ** 2).flatten().numpy()

    def model(r2: np.ndarray, a: float, s: float, b: float, wider: float) -> np.ndarray:
        return a * np.exp(-r2 / (2 * s**2)) - b * np.exp(-r2 / (2 * (s * wider) ** 2))

    found, _ = curve_fit(
        model, squared, (image / image.max()).flatten().numpy(),
        p0=(1.0, 100.0, 0.1, 2.5), bounds=((0, 20, 0, 1.5), (5, 200, 1, 6)),
    )  # fmt: skip
    return float(found[1])


def test_on_parasol_cells_are_larger_faster_and_more_linear_than_off() -> None:
    sigma, peak, zero, decrement = {}, {}, {}, {}
    for polarity, sign in (("ON", 1.0), ("OFF", -1.0)):
        sizes, peaks, zeros, falls = [], [], [], []
        for cell in of_type(f"{polarity} parasol-like"):
            field = sign * gradient(cell, grey()).sum(0).flip(0)  # newest frame first
            kernel = at_centre(cell, field)
            sizes.append(centre_sigma_um(cell, field[int(kernel.argmax())]))
            ms = (np.arange(LAG + 1) + 0.5) * 1000 / HZ
            curve = CubicSpline(ms, kernel.numpy())
            fine = np.arange(20.0, 400.0, 0.5)
            at_peak = fine[curve(fine).argmax()]
            peaks.append(at_peak)
            zeros.append(next(t for t in fine if t > at_peak and curve(t) < 0))
            preferred, opposite = respond(
                [flash(spot(cell, 300), course((0.5, c * sign))) for c in (0.2, -0.2)]
            )[..., cell.index]
            rest = REST[cell.index]
            falls.append(float((rest - opposite.min()) / (preferred.max() - rest)))
            assert sizes[-1] == pytest.approx(cell.centre_sigma_um, rel=0.1)
            assert peaks[-1] == pytest.approx(cell.time_to_peak_ms, abs=6)
        sigma[polarity], peak[polarity] = np.mean(sizes), np.mean(peaks)
        zero[polarity], decrement[polarity] = np.mean(zeros), np.mean(falls)
    assert sigma["ON"] / sigma["OFF"] == pytest.approx(1.2, abs=0.05)
    assert 0.10 <= 1 - peak["ON"] / peak["OFF"] <= 0.20
    assert 0.10 <= 1 - zero["ON"] / zero["OFF"] <= 0.20
    assert decrement["ON"] > 1.2 * decrement["OFF"]
