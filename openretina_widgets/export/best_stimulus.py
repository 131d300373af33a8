"""The code that optimises a stimulus once more."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch

from openretina_widgets.export.code import Code, array, call, literal
from openretina_widgets.export.recipe import Missing, Recipe, means, part
from openretina_widgets.insilico import stimulus_optimization as parts
from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult

_HOME = "openretina_widgets.insilico.stimulus_optimization"
_REGULARIZERS: dict[str, type] = {
    "TotalVariationRegularizer": parts.TotalVariationRegularizer,
    "L2Regularizer": parts.L2Regularizer,
    "RangeRegularizer": parts.RangeRegularizer,
}
_POSTPROCESSORS: dict[str, type] = {
    "ClipStimulus": parts.ClipStimulus,
    "ContrastAndRange": parts.ContrastAndRange,
    "NormAndRange": parts.NormAndRange,
    "SpatialBlur": parts.SpatialBlur,
    "TemporalLowPass": parts.TemporalLowPass,
}
_TRANSFORMS: dict[str, type] = {
    "DifferenceOfGaussians": parts.DifferenceOfGaussians,
    "GaborSinusoid": parts.GaborSinusoid,
    "LowFrequencies": parts.LowFrequencies,
    "Separable": parts.Separable,
    "GradientBlur": parts.GradientBlur,
    "GradientSpectrum": parts.GradientSpectrum,
    "Jitter": parts.Jitter,
}
_REDUCERS: dict[str, type] = {
    "MeanReducer": parts.MeanReducer,
    "SliceMeanReducer": parts.SliceMeanReducer,
}
_BOUNDS = ("NormAndRange", "ContrastAndRange")
_OBJECTIVES = ("IncreaseObjective", "DecreaseObjective")
_SEEDED = (
    "NeuronsObjective",
    "GroupsObjective",
    "GroupMeanObjective",
    "LayerObjective",
    "SparseObjective",
    "DiverseObjective",
    "FunctionObjective",
)
_OF_RUNS = (" iterations done", "no improvement in ", "the score was not", "the gradient was not")
_FOREIGN = "openretina_widgets knows how to write its own parts and torch's optimizers only"


def recipe_of(result: OptimizationResult, model: str) -> Recipe:
    """Return the code for a result, with the name that the model has there."""
    missing, settings = Missing(), result.settings
    words: list[str] = []
    by_seed = settings.get("objective", {}).get("type") in _SEEDED and bool(result.seeds)
    most, more = _stopper(settings.get("stopper", {}), result, missing, words)
    regularizers = [
        part(one, _REGULARIZERS, "the regularizer", missing)
        for one in settings.get("regularizers", [])
    ]
    optimizer = _optimizer(settings.get("optimizer", {}), missing)
    if result.stimulus.dtype != torch.float32:
        missing(
            f"the run was computed in {result.stimulus.dtype}",
            "a notebook computes in float32: convert the model there, or run it again in float32",
        )
    if (device := settings.get("device", "cpu")) != "cpu":
        words.append(
            f"It was computed on {device}; the CPU rounds otherwise, and a long ascent takes the "
            "numbers apart."
        )
    words += _words_of_precision(result)
    make = _from_seeds if by_seed else _from_start
    before, code = make(result, model, most, more, regularizers, optimizer, missing)
    imports = _imports("\n".join([*before, code]))
    if not by_seed and not missing.said:
        imports.append(f"from {_HOME} import optimize_stimulus")
    return Recipe(
        code,
        before=(*imports, *before),
        needs_array=bool(before) and not by_seed,
        missing=tuple(missing.said),
        words=tuple(words),
        compare=(
            means("score", "{}.score", result.score.numpy()),
            means("norm", "{}.norm", result.norm.numpy()),
            means("stimulus", "{}.stimulus.numpy()", result.stimulus.numpy()),
        ),
    )


def recipe_of_population(result: PopulationResult, model: str) -> Recipe:
    """Return the code for the results of a population, with the name that the model has there."""
    missing = Missing()
    words: list[str] = []
    one = next(result.blocks(), None)
    if one is None:
        missing("nothing has ended yet", "export it once a neuron has its best stimulus")
        return Recipe("orw.optimize_population(model)", missing=tuple(missing.said))
    most, more = _stopper(one.settings.get("stopper", {}), one, missing, words)
    regularizers = [
        part(described, _REGULARIZERS, "the regularizer", missing)
        for described in one.settings.get("regularizers", [])
    ]
    optimizer = _optimizer(one.settings.get("optimizer", {}), missing)
    _, arguments = _seeded_arguments(one, most, more, regularizers, optimizer, missing)
    neurons, seeds = list(result.neurons), list(result.seeds)
    arguments |= {"neurons": neurons, "seed": seeds if len(seeds) > 1 else seeds[0]}
    if (chunk := result.card.get("chunk")) is not None:
        arguments["chunk"] = chunk
    if (device := one.settings.get("device", "cpu")) != "cpu":
        words.append(f"It was computed on {device}; the CPU rounds otherwise.")
    words += _words_of_precision(one)
    asked = len(neurons) * len(seeds)
    if len(result) < asked:
        words.append(
            f"The run was ended with {len(result)} of {asked} results; the code computes all."
        )
    words.append(
        "Rounding depends on how many neurons are computed at once, and a long ascent takes the "
        "numbers apart."
    )
    code = call("orw.optimize_population", model, **arguments)
    first = result.of(neurons[0])
    compare = (
        means("score", "{}.summary['score']", result.summary["score"]),
        means(
            f"stimulus of neuron {neurons[0]}",
            f"{{}}.of({neurons[0]}).stimulus.numpy()",
            first.stimulus.numpy(),
        ),
    )
    return Recipe(
        code,
        before=tuple(_imports(code)),
        missing=tuple(missing.said),
        words=tuple(words),
        compare=compare if len(result) == asked else compare[1:],
    )


def _imports(code: str) -> list[str]:
    used = sorted({name for name in (*_KINDS, *_OBJECTIVES) if f"{name}(" in code})
    imports = ["import torch"] if "torch." in code else []
    return imports + ([f"from {_HOME} import {', '.join(used)}"] if used else [])


_KINDS = (
    *_REGULARIZERS,
    *_POSTPROCESSORS,
    *_TRANSFORMS,
    *_REDUCERS,
    "AnnealedAdam",
    "NormalizedDescent",
    "OptimizationStopper",
)


def _from_seeds(
    result: OptimizationResult,
    model: str,
    most: int | None,
    more: dict[str, Any],
    regularizers: list[Code],
    optimizer: Code | float,
    missing: Missing,
) -> tuple[tuple[str, ...], str]:
    """Return the call that started from seeds, which adds the norm and the range at the end."""
    function, arguments = _seeded_arguments(result, most, more, regularizers, optimizer, missing)
    return _own_function(result.settings["objective"], missing), call(function, model, **arguments)


def _seeded_arguments(
    result: OptimizationResult,
    most: int | None,
    more: dict[str, Any],
    regularizers: list[Code],
    optimizer: Code | float,
    missing: Missing,
) -> tuple[str, dict[str, Any]]:
    """Return the function that starts from seeds, and its arguments."""
    objective = result.settings["objective"]
    *before, bounds = result.settings["postprocessors"] or [{}]
    if bounds.get("type") not in _BOUNDS or not bounds.get("exact", True):
        missing("the last postprocessor is not the norm and range of optimize_neurons", _FOREIGN)
    norm = bounds.get("norm")
    function, subject, seeds = _subject(result)
    arguments: dict[str, Any] = {
        **subject,
        "data_key": result.data_key,
        "seed": seeds if len(seeds) > 1 else seeds[0],
        "time_steps": int(result.stimulus.shape[2]),
        "max_iterations": most,
        **more,
        **_held(bounds),
    }
    if objective.get("frames") is not None:
        arguments["window"] = tuple(objective["frames"])
    if (limits := bounds.get("min_max_values")) is not None:
        arguments["stimulus_range"] = [tuple(pair) for pair in limits]
    held = norm is not None or bounds.get("rms") is not None
    if isinstance(optimizer, float) and held and "parametrization" not in result.settings:
        arguments["learning_rate"] = optimizer
    else:
        arguments["optimizer_init_fn"] = _as_function(optimizer)
    for name, described in (
        ("precondition", result.settings.get("optimizer", {}).get("preconditioner")),
        ("jitter", objective.get("jitter")),
        ("parametrization", result.settings.get("parametrization")),
    ):
        if described is not None:
            arguments[name] = part(described, _TRANSFORMS, f"the {name}", missing)
    if regularizers:
        arguments["regularizer"] = regularizers
    post = [part(one, _POSTPROCESSORS, "the postprocessor", missing) for one in before]
    if post:
        arguments["postprocessor"] = post
    return function, arguments | _precision(result)


def _words_of_precision(result: OptimizationResult) -> list[str]:
    precision = result.settings.get("precision", "float32")
    if precision == "float32":
        return []
    if _precision(result):
        return [f"It was computed in {precision}, for which a processor needs instructions."]
    return [f"It was computed in {precision}; the code computes in float32."]


def _precision(result: OptimizationResult) -> dict[str, str]:
    """Return the argument for a lower precision, where a CPU has it too."""
    precision = result.settings.get("precision", "float32")
    on_cpu = result.settings.get("device", "cpu") == "cpu"
    return {"precision": precision} if precision != "float32" and on_cpu else {}


def _own_function(objective: dict[str, Any], missing: Missing) -> tuple[str, ...]:
    """Return the code of a function that was the objective."""
    if objective["type"] != "FunctionObjective":
        return ()
    source = objective["function"]
    if f"def {objective['name']}(" in source:
        return (f"\n\n{source}\n",)
    missing(
        f"the objective {objective['name']!r} is not of openretina_widgets, and its code uses more "
        "than modules, or cannot be read",
        "write it into the notebook in the place that says so, or as a function that stands on its "
        "own",
    )
    return ()


def _held(bounds: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for norm, RMS contrast and mean luminance."""
    names = ("rms", "mean_luminance")
    held = {name: bounds[name] for name in names if bounds.get(name) is not None}
    if "rms" in held:
        return held
    return {"norm": math.inf if bounds.get("norm") is None else bounds["norm"], **held}


def _from_start(
    result: OptimizationResult,
    model: str,
    most: int | None,
    more: dict[str, Any],
    regularizers: list[Code],
    optimizer: Code | float,
    missing: Missing,
) -> tuple[tuple[str, ...], str]:
    """Return the call of `optimize_stimulus` with the start as text."""
    objective = result.settings.get("objective", {})
    if "preconditioner" in result.settings.get("optimizer", {}) or "jitter" in objective:
        missing(
            "the run had a jitter or a preconditioned gradient, and a start of its own",
            "run it from a seed, with optimize_neurons(..., jitter=..., precondition=...)",
        )
    kind, reducer = objective.get("type"), objective.get("response_reducer")
    if kind in _OBJECTIVES and "neurons" in objective and reducer is not None:
        made: Code = Code(
            call(
                str(kind),
                model,
                neuron_indices=objective["neurons"],
                data_key=result.data_key,
                response_reducer=part(reducer, _REDUCERS, "the reducer", missing),
            )
        )
    else:
        made = missing(
            f"the objective {kind!r} is not of openretina_widgets, and its code is not known",
            "write it into the notebook in the place that says so, or use IncreaseObjective, "
            "DecreaseObjective or optimize_neurons",
        )
    start: tuple[str, ...] = ()
    if result.start is None:
        missing(
            "the start of the run is not in the result",
            "run it again with this version of openretina_widgets, or from a seed",
        )
    else:
        start = (
            array("start", result.start.numpy()),
            "start = torch.from_numpy(start)",
        )
    post = [
        part(one, _POSTPROCESSORS, "the postprocessor", missing)
        for one in result.settings.get("postprocessors", [])
    ]
    code = call(
        "optimize_stimulus",
        "start",
        optimizer_init_fn=_as_function(optimizer),
        objective_object=made,
        optimization_stopper=Code(call("OptimizationStopper", max_iterations=most, **more)),
        stimulus_regularization_loss=regularizers,
        stimulus_postprocessor=post,
        **_precision(result),
    )
    return start, code


def _subject(result: OptimizationResult) -> tuple[str, dict[str, Any], list[int]]:
    """Return the function, what it is asked about, and the seeds of each of these."""
    objective = result.settings["objective"]
    if objective["type"] == "GroupsObjective":
        targets, seeds = _each_and_seeds(list(objective["targets"]), list(result.seeds))
        groups = dict(zip(objective["names"], objective["groups"], strict=True))
        subject = {"groups": groups, "temperature": objective["temperature"]}
        if targets != list(range(len(groups))):
            subject["targets"] = targets
        return "orw.most_discriminative_stimuli", subject, seeds
    if objective["type"] == "GroupMeanObjective":
        targets, seeds = _each_and_seeds(list(objective["targets"]), list(result.seeds))
        members = {objective["names"][one]: objective["groups"][one] for one in targets}
        return "orw.optimize_groups", {"groups": members, "direction": _direction(objective)}, seeds
    if objective["type"] == "LayerObjective":
        channels, seeds = _each_and_seeds(list(objective["channel"]), list(result.seeds))
        inner = {
            "layer": objective["layer"],
            "channels": channels,
            "direction": _direction(objective),
            "place": objective["place"],
        }
        return "orw.optimize_layer", inner, seeds
    if objective["type"] == "FunctionObjective":
        own: dict[str, Any] = {"function": Code(objective["name"])}
        if objective["whole_batch"]:
            own["whole_batch"] = True
        return "orw.optimize_function", own, list(result.seeds)
    neurons, seeds = _each_and_seeds([one[0] for one in result.neurons], list(result.seeds))
    if objective["type"] == "SparseObjective":
        low = {"neurons": neurons, "others": objective["others"], "weight": objective["weight"]}
        return "orw.sparse_stimuli", low, seeds
    if objective["type"] == "DiverseObjective":
        count = objective["sets"].count(objective["sets"][0])
        apart = {
            "neurons": [one[0] for one in result.neurons[::count]],
            "count": count,
            "similarity_weight": objective["similarity_weight"],
        }
        return "orw.diverse_stimuli", apart, list(result.seeds[:1])
    subject = {"neurons": neurons, "direction": _direction(objective)}
    return "orw.optimize_neurons", subject, seeds


def _direction(objective: dict[str, Any]) -> str:
    return "increase" if objective.get("sign", 1.0) > 0 else "decrease"


def _each_and_seeds(each: list[int], seeds: list[int]) -> tuple[list[int], list[int]]:
    """Return the arguments: what is asked about first, the seeds within."""
    batch = len(each)
    for n in range(1, batch + 1):
        if batch % n:
            continue
        if seeds == seeds[:n] * (batch // n) and each == [each[i - i % n] for i in range(batch)]:
            return each[::n], seeds[:n]
    return each, seeds


def _stopper(
    described: dict[str, Any], result: OptimizationResult, missing: Missing, words: list[str]
) -> tuple[int | None, dict[str, Any]]:
    more: dict[str, Any]
    if described.get("type") != "OptimizationStopper":
        missing(
            f"the stopper {described.get('type')!r} is not of openretina_widgets",
            "use OptimizationStopper",
        )
        return int(result.iterations.max()), {"patience": None}
    most = described.get("max_iterations")
    stopped = [r for r in result.stop_reasons if not any(known in r for known in _OF_RUNS)]
    if stopped:
        most = max(1, int(result.iterations.max()))
        words.append(
            f"The run was ended ({stopped[0]}) after {most} iterations, which is the number that "
            "the code has."
        )
    more = {name: described[name] for name in ("patience", "min_delta") if name in described}
    return most, more


def _optimizer(described: dict[str, Any], missing: Missing) -> Code | float:
    """Return the code of an optimizer, or the learning rate alone where that is all there is."""
    settings = dict(described)
    kind = str(settings.pop("type", "?"))
    settings.pop("preconditioner", None)
    if kind == "NormalizedDescent":
        if not settings.get("momentum"):
            return float(settings["lr"])
        return Code(call("NormalizedDescent", "params", **settings))
    if kind == "AnnealedAdam":
        return Code(call(kind, "params", lr=settings["lr"], decay=settings["decay"]))
    cls = getattr(torch.optim, kind, None)
    known = inspect.signature(cls).parameters if isinstance(cls, type) else {}
    if not known or any(isinstance(value, str) for value in settings.values()):
        return missing(f"the optimizer {kind!r} is not torch's", _FOREIGN)
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
        if name in known
    }
    kept = {
        name: value for name, value in given.items() if name == "lr" or value != known[name].default
    }
    return Code(call(f"torch.optim.{kind}", "params", **kept))


def _as_function(optimizer: Code | float) -> Code:
    if isinstance(optimizer, float):
        return Code(f"lambda params: NormalizedDescent(params, lr={literal(optimizer)})")
    return Code(f"lambda params: {optimizer}")
