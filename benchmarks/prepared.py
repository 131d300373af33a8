"""The faster form of a model against the model as it is, and a plain loop.

``python -m benchmarks.prepared [CHECKPOINT]`` measures stimulus-iterations a second (forward, and
backward to the stimulus) in one run, turn by turn:

(a) a plain loop as OpenRetina's scripts have it: the whole kernels, the parameters' gradients on,
    one neuron at a time, the score copied to the host in every iteration;
(b) `optimize_neurons` with the model as it is, one stimulus and a batch;
(c) the same with the faster form, which is the default.

``--architecture high-resolution`` and ``--architecture karamanlis`` build models of these shapes
with random weights in place of the checkpoint; ``--ways`` measures each way of computing every
layer alone, which is what the cost model in `openretina_widgets.models.prepared_layers` rests on;
``--layers`` measures each layer of an architecture, and ``--whole`` one stimulus through all of it,
where a plain loop would take hours.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.optimise import CHECKPOINT, ours
from benchmarks.rates import compare, print_ratios
from openretina_widgets import RetinaModel, load_model
from openretina_widgets.insilico.compute import torch_threads
from openretina_widgets.models import prepared, prepared_layers
from openretina_widgets.models.convolutions import KernelConv3d, SpaceTimeSeparableConv3d
from openretina_widgets.models.core_readout import build_core_readout
from openretina_widgets.models.prepared_forms import PreparedForms

_CORE = "openretina.modules.core.base_core.SimpleCoreWrapper"
_READOUTS = "openretina.modules.readout.multi_readout."
_MASKS = {
    "_target_": f"{_READOUTS}MultiGaussianMaskReadout",
    "scale": True,
    "bias": True,
    "gaussian_mean_scale": 6.0,
    "gaussian_var_scale": 4.0,
    "positive": True,
}

# As OpenRetina's configurations of the same names have them. The recording of Karamanlis et al.
# is 60 by 80 pixels here, 128 channels there are 16, so that a plain loop ends within minutes.
ARCHITECTURES = {
    "high-resolution": {
        "in_shape": (2, 50, 72, 64),
        "hidden_channels": (16, 16, 16, 16),
        "core": {
            "_target_": _CORE,
            "temporal_kernel_sizes": (15, 15, 7, 7),
            "spatial_kernel_sizes": (15, 15, 7, 7),
            "input_padding": True,
            "hidden_padding": True,
            "cut_first_n_frames": 30,
            "maxpool_every_n_layers": 2,
        },
        "readout": _MASKS,
    },
    "karamanlis": {
        "in_shape": (1, 50, 60, 80),
        "hidden_channels": (16, 16, 16),
        "core": {
            "_target_": _CORE,
            "temporal_kernel_sizes": (11, 11, 11),
            "spatial_kernel_sizes": (21, 15, 11),
            "input_padding": False,
            "hidden_padding": (0, 5, 5),
            "cut_first_n_frames": 0,
        },
        "readout": {"_target_": f"{_READOUTS}MultiSampledGaussianReadout", "bias": True},
    },
}


def model_of(architecture: str, neurons: int = 100, hidden: int | None = None) -> RetinaModel:
    """Return a model of one of `ARCHITECTURES` with random weights."""
    torch.manual_seed(0)
    settings = settings_of(architecture, neurons, hidden)
    module = build_core_readout(settings)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim > 1 and "grid" not in name:
                tensor.add_(0.05 * torch.randn_like(tensor))
    return RetinaModel(
        module, name=architecture, stimulus_norm=30.0, stimulus_range=_range(module.in_shape[0])
    ).eval()


def settings_of(architecture: str, neurons: int, hidden: int | None) -> dict[str, Any]:
    """Return the settings of an architecture, with so many channels in its hidden layers."""
    settings = ARCHITECTURES[architecture] | {"n_neurons_dict": {"random": neurons}}
    if hidden is not None:
        settings["hidden_channels"] = [hidden] * len(settings["hidden_channels"])
    return settings


def _range(channels: int) -> list[tuple[float, float]]:
    return [(-1.0, 6.0)] * channels


def as_it_is() -> AbstractContextManager[object]:
    """Run models as they are while the context lasts."""
    return mock.patch.object(PreparedForms, "fitting", return_value=None)  # kept ones as well


def whole_kernels() -> AbstractContextManager[object]:
    """Convolve with the whole kernels while the context lasts, as OpenRetina does."""
    return mock.patch.object(SpaceTimeSeparableConv3d, "forward", KernelConv3d.forward)


def plain_loop(model: RetinaModel, iterations: int) -> None:
    """Optimise one stimulus for each of two neurons in turn, with nothing of ours."""
    session, norm = model.sessions[0], float(model.stimulus_norm or 30.0)
    low, high = (
        torch.tensor(x, device=model.device).view(1, -1, 1, 1, 1)
        for x in zip(*(model.stimulus_range or ()), strict=True)
    )
    with whole_kernels():
        stimulus = 0.1 * torch.randn(model.stimulus_shape(50), device=model.device)
        stimulus.requires_grad_(True)
        optimizer = torch.optim.SGD([stimulus], lr=10.0)
        for _ in range(iterations):
            loss = -model.module(stimulus, data_key=session).squeeze(0)[:, 0].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                stimulus *= norm / stimulus.norm()
                stimulus.clamp_(low, high)
            loss.item()


def compare_forms(
    model: RetinaModel,
    *,
    batches: list[int],
    rounds: int,
    seconds: float,
    clock: Callable[[], float],
) -> None:
    """Print the table of rates, and their ratios to the plain loop."""
    runs: dict[str, tuple[Callable[[int], None], int]] = {
        "(a) plain loop": (lambda n: plain_loop(model, n), 1)
    }
    for batch in batches:

        def faster(n: int, batch: int = batch) -> None:
            ours(model, batch, n)

        def slower(n: int, batch: int = batch) -> None:
            with as_it_is():
                ours(model, batch, n)

        runs[f"(b) as it is, batch of {batch}"] = (slower, batch)
        runs[f"(c) faster form, batch of {batch}"] = (faster, batch)
    with model.prepared(50) as form:
        print(f"{model.name}: {prepared.words_of(form)}")
        print(f"operators of {4 * getattr(form, 'numbers', 0) / 2**20:.1f} MiB")
    compare(runs, rounds=rounds, seconds=seconds, clock=clock)


def compare_ways(model: RetinaModel, *, batch: int, seconds: float) -> None:
    """Print the time of each layer in each way, forward and backward, beside its cost."""
    size = prepared_layers.Size(model.input_shape[0], 50, *model.input_shape[1:])
    core = model.module.core
    for i, layer in enumerate(core.features):
        rows = []
        for way in (*prepared_layers.WAYS, None):
            ways = None if way is None else [way]
            with torch.no_grad(), mock.patch.object(prepared_layers, "_CONVOLUTION_3D", 0.0):
                stages, after = prepared_layers.prepared_layer(
                    layer, core.channels[i + 1], size, 0, ways
                )
            if way is not None and isinstance(stages[0], prepared_layers.AsItIs):
                continue  # its operator would be too large
            x = torch.randn(size.channels, size.frames, batch, size.pixels, requires_grad=True)

            def once(stages: list = stages, x: torch.Tensor = x) -> None:
                y = x
                for stage in stages:
                    y = stage(y)
                torch.autograd.grad(y.sum(), x)

            with whole_kernels() if way is None else nullcontext():
                once()
                start, n = time.perf_counter(), 0
                while time.perf_counter() - start < seconds:
                    once()
                    n += 1
            each = 1000 * (time.perf_counter() - start) / n / batch
            conv = layer.conv
            kernel = conv.size[1:]
            pairs = size.channels * after.channels
            out = prepared_layers.Size(
                after.channels, *conv.output_size([size.frames, size.height, size.width])
            )
            if way is None:
                cost = pairs * out.frames * conv.size[0] * kernel[0] * kernel[1] * out.pixels
                rows.append((each, cost / 1e6, "whole kernels (multiplications)"))
            else:
                cost, _ = prepared_layers._costs(way, size, out, kernel)
                rows.append((each, cost / 1e6, way.words))
        print(f"layer {i}: {size} -> {after}")
        for each, cost, words in sorted(rows):
            print(f"  {each:9.2f} ms  cost {cost:9.1f} M  {words}")
        size = after


def compare_layers(architecture: str, hidden: int | None, clock: Callable[[], float]) -> None:
    """Print the time of each layer, forward and backward, for one stimulus.

    In the faster form, as it is, and with the whole kernels; and how far the form is from these.
    """
    settings = settings_of(architecture, 1, hidden)
    torch.manual_seed(0)
    module = build_core_readout(settings).eval().requires_grad_(False)
    core, size = module.core, prepared_layers.Size(*module.in_shape)
    totals = [0.0, 0.0, 0.0]
    for i, layer in enumerate(core.features):
        with torch.no_grad():
            stages, after = prepared_layers.prepared_layer(
                layer, core.channels[i + 1], size, 0, None
            )
        x = torch.randn(size.channels, size.frames, 1, size.pixels, requires_grad=True)
        plain = [prepared_layers.AsItIs(layer, size, "layer")]
        times, found = [], []
        for parts, context in (
            (stages, nullcontext()),
            (plain, nullcontext()),
            (plain, whole_kernels()),
        ):
            with context:
                best = float("inf")
                for _ in range(2):
                    start, y = clock(), x
                    for part in parts:
                        y = part(y)
                    (gradient,) = torch.autograd.grad(y.sum(), x)
                    best = min(best, clock() - start)
            times.append(best)
            found.append((y.detach(), gradient))
        totals = [total + one for total, one in zip(totals, times, strict=True)]
        errors = [
            float((one - other).abs().max() / other.abs().max())
            for one, other in zip(found[0], found[2], strict=True)
        ]
        print(
            f"layer {i}: {times[0]:.3f} s, as it is {times[1]:.3f} s, whole kernels "
            f"{times[2]:.3f} s; apart by {max(errors):.0e}; "
            + "; ".join(part.words for part in stages)
        )
        size = after
    print(
        f"{architecture}: {totals[1] / totals[0]:.1f} times as fast as the layers as they are, "
        f"{totals[2] / totals[0]:.1f} times as fast as with whole kernels"
    )


def compare_whole(model: RetinaModel, *, rounds: int, clock: Callable[[], float]) -> None:
    """Print the time of the whole model, forward and backward, for one stimulus of one neuron.

    In the faster form, as it is, and with the whole kernels, turn by turn; and how far the form is
    from these.
    """
    session = model.sessions[0]
    own = torch.zeros(1, dtype=torch.long, device=model.device)
    stimulus = torch.randn(model.stimulus_shape(50), device=model.device)

    def once() -> tuple[torch.Tensor, torch.Tensor]:
        x = stimulus.clone().requires_grad_(True)
        response = model.own_responses(x, own, session)
        return response.detach(), *torch.autograd.grad(response.mean(), x)

    def timed(context: AbstractContextManager[object]) -> float:
        with context:
            start = clock()
            once()
            return clock() - start

    model.requires_grad_(False)
    contexts = {"faster form": nullcontext, "as it is": as_it_is, "whole kernels": _opened}
    with model.prepared(50, session) as form:
        print(f"{model.name}, hidden channels {model.module.core.channels[1:]}: ", end="")
        print(prepared.words_of(form))
        answers = once()
        with _opened():
            expected = once()
        times: dict[str, list[float]] = {name: [] for name in contexts}
        for _ in range(rounds):
            for name, context in contexts.items():
                times[name].append(timed(context()))
    print_ratios("seconds", "ratio to the faster form", times, digits=3)
    for what, one, other in zip(("responses", "gradients"), answers, expected, strict=True):
        print(f"{what} apart by {float((one - other).abs().max() / other.abs().max()):.0e}")


@contextmanager
def _opened() -> Iterator[None]:
    with as_it_is(), whole_kernels():
        yield


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default=CHECKPOINT, type=Path)
    parser.add_argument("--architecture", choices=list(ARCHITECTURES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=None, help="torch threads")
    parser.add_argument("--layers", action="store_true", help="each layer of the architecture")
    parser.add_argument("--whole", action="store_true", help="one stimulus through the whole model")
    parser.add_argument("--hidden", type=int, help="channels of its hidden layers")
    parser.add_argument("--ways", action="store_true", help="each way of each layer")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="in seconds of the processor: with one thread, on a machine that others use as well",
    )
    arguments = parser.parse_args()
    if arguments.cpu_time and (arguments.threads != 1 or arguments.device != "cpu"):
        parser.error("--cpu-time: counts the threads together, so it needs --threads 1 on the CPU")
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    if arguments.layers:
        if not arguments.architecture:
            parser.error("--layers: needs an --architecture")
        with torch_threads(arguments.threads):
            compare_layers(arguments.architecture, arguments.hidden, clock)
        return
    if arguments.architecture:
        model = model_of(arguments.architecture, hidden=arguments.hidden).to(arguments.device)
    else:
        model = load_model(arguments.checkpoint, device=arguments.device)
    with torch_threads(arguments.threads):
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {model.device}")
        if arguments.ways:
            compare_ways(model, batch=max(arguments.batches), seconds=arguments.seconds)
        elif arguments.whole:
            compare_whole(model, rounds=arguments.rounds, clock=clock)
        else:
            compare_forms(
                model,
                batches=arguments.batches,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                clock=clock,
            )


if __name__ == "__main__":
    main()
