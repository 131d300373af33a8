"""Direction and temporal-frequency tuning of every neuron: the plain loop, and ours.

``python -m benchmarks.tuning [CHECKPOINT]`` shows 8 directions x 4 temporal frequencies to every
neuron of every session of the synthetic model and of a checkpoint, in one run, turn by turn so that
a change of the machine's speed meets both alike:

(a) a plain loop, as the seed page has it: one forward pass a condition, then one Python loop over
    the neurons, with numpy for every index and scipy for every fit: `benchmarks.plain_tuning`;
(b) ours: `sweep_sessions`, then `indices()` and `fits()` of each session.

Both build the same stimuli and return the same values, and all of them are compared wherever ours
are determined: those of both from the shapes of the same curves, which tells whether they compute
the same, and those of each as they are timed, from its own responses. The latter where a neuron's
responses range over more than 1 % of their size: the two round float32 differently, and all that is
told from the shape of a curve magnifies that by size over range.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.plain_tuning import (
    DIRECTIONS,
    FREQUENCIES,
    Responses,
    plain_responses,
    plain_tuning,
)
from openretina_widgets import RetinaModel, TuningCurves, experiments, load_model, sweep_sessions
from openretina_widgets.insilico.compute import torch_threads

CHECKPOINT = (
    Path(__file__).parents[1].parent
    / "shared/data/openretina_checkpoints/hoefling_2024_low_res.ckpt"
)
SAME = 1e-5  # of a value above 1, of the range of angles, of the response for responses
RANGE = 0.01  # of a neuron's responses to their size, for values from responses of its own
DETERMINED = 0.1  # standard error of a fitted value to the value, or to 90°


def our_responses(model: RetinaModel) -> dict[str, TuningCurves]:
    """Return the curves of every session."""
    experiment = experiments.drifting_gratings(
        directions=DIRECTIONS, temporal_frequencies=FREQUENCIES
    )
    return sweep_sessions(model, experiment)


def our_tuning(curves: TuningCurves) -> dict[str, np.ndarray]:
    """Return every index and fit of a sweep by name."""
    found = dict(curves.indices())
    for axis, fit in curves.fits().items():
        for k, name in enumerate(fit.names):
            found[f"{axis} {name}"] = fit.values[:, k]
            found[f"{axis} {name} error"] = fit.errors[:, k]
        found[f"{axis} R²"] = fit.r_squared
    return found


def shapes(curves: TuningCurves) -> TuningCurves:
    """Return curves as change from rest, of a range of 1: of neurons that hardly answer as well."""
    rest = curves.baseline
    span = np.ptp(curves.responses, axis=(0, 1))
    return replace(
        curves,
        responses=(curves.responses - rest) / span,
        traces=(curves.traces - rest) / span,
        f1=None if curves.f1 is None else curves.f1 / span,
        f0=None if curves.f0 is None else (curves.f0 - rest) / span,
        baseline=np.zeros_like(rest),
    )


def as_plain(curves: TuningCurves) -> Responses:
    """Return our responses, for the plain loop to make indices and fits of."""
    return Responses(
        curves.responses, curves.traces[:, :, curves.onset :], curves.f1, curves.baseline
    )


def apart(name: str, plain: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Return differences, relative to a value above 1, or to the period of an angle.

    Of R², by how much ours is worse.
    """
    if name.endswith("R²"):
        return np.clip(plain - ours, 0.0, None)
    difference = np.abs(plain - ours)
    if period := _period(name):
        return np.minimum(difference, period - difference) / period
    return difference / np.maximum(np.abs(ours), 1.0)


def _period(name: str) -> float:
    """Return that of an angle; 0 for what is none."""
    if name == "preferred_orientation":
        return 180.0
    return 360.0 if name in ("preferred_direction", "direction preferred") else 0.0


def determined(name: str, ours: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> np.ndarray:
    """Return where there is a value to compare.

    Of a fit, where its standard error is known and small, and the curve as wide at half height as
    the tested values are apart: one that is narrower has its peak anywhere between two of them, at
    any height, and fits as well.
    """
    known = np.isfinite(ours[name])
    axis = name.split(" ")[0]
    if f"{axis} R²" not in ours:
        return known
    if axis == "direction":
        known &= 2 * plain["direction half_width"] >= np.diff(DIRECTIONS).min()
    else:
        known &= plain[f"{axis} bandwidth"] >= np.diff(np.log2(FREQUENCIES)).min()
    value = name.removesuffix(" error")
    if (errors := ours.get(f"{value} error")) is None:
        return known
    size = 90.0 if _period(value) else np.abs(ours[value])
    return known & (np.nan_to_num(errors, nan=np.inf) <= DETERMINED * size)


def compared(
    name: str,
    plain: list[dict[str, np.ndarray]],
    ours: list[dict[str, np.ndarray]],
    wanted: np.ndarray,
) -> str:
    """Return of how many neurons a value is determined, and how far both are apart."""
    p, o = (np.concatenate([one[name] for one in each]) for each in (plain, ours))
    each = [determined(name, one, other) for one, other in zip(ours, plain, strict=True)]
    known = np.concatenate(each) & wanted
    if not known.any():
        return f"{0:3d} {'none':>13}"
    most = float(apart(name, p, o)[known].max())  # NaN too: what is determined by us alone
    return f"{known.sum():3d} {most:.1e} {'same' if most <= SAME else 'NOT '}"


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
                    responses = plain_responses(model, session)
                    in_forward += time.perf_counter() - start
                    kept.append((responses, plain_tuning(responses)))
            else:
                each = our_responses(model)
                in_forward = time.perf_counter() - since
                kept = [(curves, our_tuning(curves)) for curves in each.values()]
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
    responses = [(p, curves) for (p, _), (curves, _) in zip(plain, ours, strict=True)]
    largest = max(
        float((np.abs(p.means - c.responses) / np.maximum(np.abs(c.responses), 1)).max())
        for p, c in responses
    )
    words = "same" if largest <= SAME else "NOT THE SAME"
    print(f"  responses: largest difference {largest:.1e}: {words}")
    tuned = np.concatenate(
        [
            np.ptp(c.responses, axis=(0, 1)) > RANGE * np.abs(c.responses).max(axis=(0, 1))
            for _, c in responses
        ]
    )
    print(f"  {'':36} shapes alone            as timed")
    alike = [shapes(curves) for _, curves in responses]
    from_same = [plain_tuning(as_plain(c)) for c in alike], [our_tuning(c) for c in alike]
    from_own = [t for _, t in plain], [t for _, t in ours]
    for name in from_own[1][0]:
        first = compared(name, *from_same, np.ones_like(tuned))
        print(f"  {name:36} {first}   {compared(name, *from_own, tuned)}")


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
