"""Direction and temporal-frequency tuning of every neuron: the plain loop, and ours.

``python -m benchmarks.tuning [CHECKPOINT]`` shows 8 directions x 4 temporal frequencies to every
neuron of every session of the synthetic model and of a checkpoint, in one run, turn by turn so that
a change of the machine's speed meets both alike:

(a) a plain loop, as the seed page has it: one forward pass a condition, then one Python loop over
    the neurons, with numpy for the indices and scipy for the fits, from as many starts and within
    the same bounds as ours;
(b) ours: `sweep_sessions`, then `indices()` and `fits()` of each session.

The same stimuli are built in both, and the same numbers have to come out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import curve_fit

from openretina_widgets import RetinaModel, TuningCurves, experiments, load_model, sweep_sessions
from openretina_widgets.data_io.artificial_stimuli import Screen, drifting_grating
from openretina_widgets.insilico.compute import torch_threads

CHECKPOINT = (
    Path(__file__).parents[1].parent
    / "shared/data/openretina_checkpoints/hoefling_2024_low_res.ckpt"
)
DIRECTIONS = np.arange(8) * 45.0
FREQUENCIES = np.array([1.0, 2.0, 3.0, 5.0])
SAME = 1e-5
SELECTIVE = 0.2  # direction-selectivity index from which directions are compared


def plain_responses(model: RetinaModel, session: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (direction, frequency, neuron), and (neuron,) to grey, condition by condition."""
    screen = Screen.of(model)
    rows = []
    for direction in DIRECTIONS:
        row = []
        for frequency in FREQUENCIES:
            stimulus = drifting_grating(screen, direction=direction, temporal_frequency=frequency)
            with torch.no_grad():
                response = model(stimulus.batch.to(model.device), data_key=session)
            start, stop = stimulus.response_window
            row.append(response[0, start:stop].mean(dim=0).cpu().numpy())
        rows.append(row)
    with torch.no_grad():
        grey = model(torch.zeros_like(stimulus.batch).to(model.device), data_key=session)
    return np.array(rows), grey[0, start:stop].mean(dim=0).cpu().numpy()


def von_mises(
    angle: np.ndarray, base: float, at: float, kappa: float, peak: float, null: float
) -> np.ndarray:
    """Two lobes of one width, half a turn apart."""
    turn = np.deg2rad(angle - at)
    lobes = peak * np.exp(kappa * (np.cos(turn) - 1)) + null * np.exp(kappa * (-np.cos(turn) - 1))
    return base + lobes


def best_fit(function, x, y, starts, lower, upper) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return the best of scipy's fits from several starts, NaN when none converges."""
    best, error = np.full(len(lower), np.nan), np.inf
    for start in starts:
        start = np.clip(start, np.add(lower, 1e-9), np.subtract(upper, 1e-9))
        try:
            found, _ = curve_fit(function, x, y, start, bounds=(lower, upper), max_nfev=200)
        except (RuntimeError, ValueError):
            continue
        if (left := float(((function(x, *found) - y) ** 2).sum())) < error:
            best, error = found, left
    return best


def plain_tuning(responses: np.ndarray, baseline: np.ndarray) -> dict[str, np.ndarray]:
    """Return indices and fits, neuron by neuron."""
    names = ("dsi", "osi", "preferred_direction", "fit_direction", "fit_frequency")
    found: dict[str, list[float]] = {name: [] for name in names}
    turn = np.deg2rad(DIRECTIONS)
    octaves = np.log2(FREQUENCIES)
    for neuron in range(responses.shape[-1]):
        grid, rest = responses[..., neuron].astype(np.float64), float(baseline[neuron])
        direction, frequency = np.unravel_index(int(grid.argmax()), grid.shape)
        along = grid[:, frequency]
        rectified = np.clip(along, 0, None)
        vector = (rectified * np.exp(1j * turn)).sum()
        found["dsi"].append(abs(vector) / rectified.sum())
        found["preferred_direction"].append(np.degrees(np.angle(vector)) % 360)
        found["osi"].append(abs((rectified * np.exp(2j * turn)).sum()) / rectified.sum())
        low, span = along.min(), np.ptp(along)
        peak = DIRECTIONS[int(along.argmax())]
        mean = np.degrees(np.angle(((along - low) * np.exp(1j * turn)).sum()))
        fit = best_fit(
            von_mises,
            DIRECTIONS,
            along,
            [[low, at, kappa, span, span / 4] for kappa in (1.0, 4.0) for at in (peak, mean)],
            [low - 3 * span, -1e4, 0.1, 0.0, 0.0],
            [along.max() + 1e-9, 1e4, 30.0, 5 * span + 1e-9, 5 * span + 1e-9],
        )
        swapped = fit[4] > fit[3]
        found["fit_direction"].append((fit[1] + 180 * swapped) % 360)
        curve = grid[direction]
        height = max(curve.max() - rest, 1e-3 * abs(curve.max()))
        above = np.clip(curve - rest, 0, None)
        middle = float(above @ octaves / above.sum()) if above.sum() else float(octaves.mean())
        reach = float(np.ptp(octaves))

        def gaussian(
            x: np.ndarray, height: float, at: float, sigma: float, rest: float = rest
        ) -> np.ndarray:
            return rest + height * np.exp(-((x - at) ** 2) / (2 * sigma**2))

        fit = best_fit(
            gaussian,
            octaves,
            curve,
            [
                [height, at, width]
                for at in (octaves[int(above.argmax())], middle)
                for width in (0.7, 2.0)
            ],
            [0.0, octaves[0] - reach, 0.1],
            [10 * height, octaves[-1] + reach, 3 * reach],
        )
        found["fit_frequency"].append(2 ** fit[1])
    return {name: np.array(values) for name, values in found.items()}


def our_responses(model: RetinaModel) -> dict[str, TuningCurves]:
    """Return the curves of every session."""
    experiment = experiments.drifting_gratings(
        directions=DIRECTIONS, temporal_frequencies=FREQUENCIES
    )
    return sweep_sessions(model, experiment)


def our_tuning(curves: TuningCurves) -> dict[str, np.ndarray]:
    """Return the same indices and fits; all that a sweep has are computed."""
    indices, fits = curves.indices(), curves.fits()
    return {name: indices[name] for name in ("dsi", "osi", "preferred_direction")} | {
        "fit_direction": fits["direction"].values[:, fits["direction"].names.index("preferred")],
        "fit_frequency": fits["temporal_frequency"].values[
            :, fits["temporal_frequency"].names.index("preferred")
        ],
    }


def difference(name: str, plain: np.ndarray, ours: np.ndarray, dsi: np.ndarray) -> float:
    """Return the largest difference where both are defined; angles around the circle.

    A neuron that answers motion either way alike has no direction to compare.
    """
    apart = np.abs(plain - ours)
    if "direction" in name:
        apart = apart[dsi > SELECTIVE]
    if "direction" in name:
        apart = np.minimum(apart, 360 - apart)
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else float("nan")


def measure(model: RetinaModel, rounds: int) -> None:
    """Print the table of one model."""
    neurons = sum(model.n_neurons(session) for session in model.sessions)
    forward: list[list[float]] = [[], []]
    whole: list[list[float]] = [[], []]
    our_responses(model)  # warm
    for turn in range(rounds):
        for k in (0, 1) if turn % 2 == 0 else (1, 0):
            in_forward, since = 0.0, time.perf_counter()
            kept = []
            if k == 0:
                for session in model.sessions:
                    start = time.perf_counter()
                    responses, baseline = plain_responses(model, session)
                    in_forward += time.perf_counter() - start
                    kept.append((responses, plain_tuning(responses, baseline)))
            else:
                each = our_responses(model)
                in_forward = time.perf_counter() - since
                kept = [(curves.responses, our_tuning(curves)) for curves in each.values()]
            whole[k].append(time.perf_counter() - since)
            forward[k].append(in_forward)
            if k == 0:
                plain = kept
            else:
                ours = kept
    print(
        f"{model.name}: {len(DIRECTIONS)} directions x {len(FREQUENCIES)} temporal frequencies x "
        f"{neurons} neurons in {len(model.sessions)} session(s), {model.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {rounds} rounds"
    )
    for what, (a, b) in (("responses alone", forward), ("with indices and fits", whole)):
        ratios = [x / y for x, y in zip(a, b, strict=True)]
        print(
            f"  {what:24}(a) {statistics.median(a):8.3f} s  (b) {statistics.median(b):8.3f} s  "
            f"ratio {statistics.median(ratios):.2f}, {min(ratios):.2f} – {max(ratios):.2f}"
        )
    largest = max(float(np.abs(p - o).max()) for (p, _), (o, _) in zip(plain, ours, strict=True))
    words = "same" if largest <= SAME else "NOT THE SAME"
    print(f"  responses: largest difference {largest:.1e}: {words}")
    for name in plain[0][1]:
        most = max(
            difference(name, p[name], o[name], p["dsi"])
            for (_, p), (_, o) in zip(plain, ours, strict=True)
        )
        print(f"  {name}: largest difference {most:.1e}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default=CHECKPOINT, type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="torch threads")
    arguments = parser.parse_args()
    with torch_threads(arguments.threads):
        for name in ("synthetic", arguments.checkpoint):
            measure(load_model(name, device=arguments.device).eval(), arguments.rounds)


if __name__ == "__main__":
    main()
