"""Measure every neuron of a session: all experiments, then one table."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from openretina_widgets.data_io.artificial_stimuli import Screen
from openretina_widgets.data_io.artificial_stimuli.building import check_seed
from openretina_widgets.errors import check_positive
from openretina_widgets.insilico.population.columns import Column, measured_columns
from openretina_widgets.insilico.population.suggestion import suggest
from openretina_widgets.insilico.population.table import SelectivityTable
from openretina_widgets.insilico.provenance import versions
from openretina_widgets.insilico.receptive_fields import centres, receptive_fields
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment, plain
from openretina_widgets.insilico.tuning_analyses.fits import fit_log_gaussian, fit_naka_rushton
from openretina_widgets.insilico.tuning_analyses.indices import measures_of, tuning_along
from openretina_widgets.insilico.tuning_analyses.measure import Measure, divide, measure
from openretina_widgets.insilico.tuning_analyses.sweep import sweep_steps
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

EXPERIMENTS = (
    "flash",
    "direction",
    "spatial_frequency",
    "temporal_frequency",
    "contrast",
    "chromatic",
    "size",
    "receptive_field",
)
_WAITS = "not measured yet"
_SIZES = 7
_SIZE_S = 0.6  # a peak and what follows; longer spots cost more and change nothing

SelectivitySteps = Generator["SelectivityStep", str | None, SelectivityTable]


@dataclass(frozen=True, eq=False)
class SelectivityStep:
    """A batch of conditions that is done.

    Attributes
    ----------
    table
        What is measured so far; a new one once an experiment is complete.
    what
        What is being measured, in words.
    experiment, experiments
        Number of the measurement, from 1, and of how many.
    done, total
        Parts done, of how many; they take about the same time each.
    """

    table: SelectivityTable
    what: str
    experiment: int
    experiments: int
    done: float
    total: int


def selectivity_table(
    model: RetinaModel | nn.Module,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    seed: int = 0,
    measure: Sequence[str] = EXPERIMENTS,
    memory_mb: float | None = None,
    client: Any = None,
) -> SelectivityTable:
    """Measure the selectivity of every neuron, and suggest what it is.

    One row a neuron with polarity, transience, direction and orientation selectivity, surround
    suppression, frequency and contrast tuning, colour opponency and receptive field, each measured
    with the experiment of that name from
    `openretina_widgets.insilico.tuning_analyses.experiments`, and a suggested type with the rule
    that gave it.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        One neuron or several of the session, all for None.
    data_key
        Session, the first one for None.
    seed
        Of the noise with which receptive fields are found.
    measure
        Experiments to do; the columns of the others stay undefined. ``"chromatic"`` is left out
        for a model with one channel, and so is what a screen cannot show.
    memory_mb
        Memory that a batch of movies may take (2^20 bytes), on a cluster on each worker; by default
        a share of what is free.
    client
        A ``distributed.Client``: its workers show the conditions and take the gradients; the
        centres are found here.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> table = selectivity_table(load_model("synthetic"))
    >>> table.where("dsi > 0.4 and on_off.abs() < 0.3").sort("dsi", descending=True).neurons
    """
    steps = selectivity_steps(
        model,
        neurons=neurons,
        data_key=data_key,
        seed=seed,
        measure=measure,
        memory_mb=memory_mb,
        client=client,
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            table: SelectivityTable = end.value
            return table


def selectivity_steps(
    model: RetinaModel | nn.Module,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    seed: int = 0,
    measure: Sequence[str] = EXPERIMENTS,
    memory_mb: float | None = None,
    client: Any = None,
) -> SelectivitySteps:
    """Check the arguments, and return the generator behind `selectivity_table`.

    Yields
    ------
    SelectivityStep
        After every batch of movies. Sending a text asks it to end and to return what it has.
    """
    face = as_retina_model(model)
    session = face.session(data_key)
    everyone = range(face.n_neurons(session)) if neurons is None else neurons
    chosen = face.check_neurons(everyone, session)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"neurons: expected each neuron once, got {chosen}")
    listed = isinstance(measure, Iterable) and not isinstance(measure, str)
    names = list(measure) if listed else []
    if not names or not all(name in EXPERIMENTS for name in names):
        raise ValueError(f"measure: expected some of {EXPERIMENTS}, got {measure!r}")
    check_seed(seed)
    if memory_mb is not None:
        check_positive(memory_mb, "memory_mb")
    if client is not None:
        from openretina_widgets.insilico.cluster import check_client, check_workers

        check_client(client)
        check_workers(client)
    return _steps(_Measuring(face, session, chosen, seed), tuple(names), memory_mb, client)


def _steps(
    run: _Measuring, wanted: tuple[str, ...], memory_mb: float | None, client: Any
) -> SelectivitySteps:
    plan = run.plan(wanted)
    fields = "receptive_field" in wanted
    n = len(plan) + 1 + fields
    reason = yield SelectivityStep(run.table(), "receptive field centres", 1, n, 0, n)
    if reason is not None:
        return run.table(f"ended early: {reason}")
    run.find_centres()
    for k, experiment in enumerate(plan, start=1):
        table = run.table()
        steps = sweep_steps(
            run.model,
            experiment,
            neurons=run.neurons,
            data_key=run.session,
            centres=run.places if experiment.centred else None,
            seed=run.seed,
            memory_mb=memory_mb,
            client=client,
        )
        try:
            while True:
                step = next(steps)
                share = min(1.0, step.done / max(1, step.total))
                reason = yield SelectivityStep(table, experiment.title, k + 1, n, k + share, n)
                if reason is not None:
                    return run.table(f"ended early: {reason}")
        except StopIteration as end:
            run.take(experiment, end.value)
        finally:
            steps.close()
    if fields:
        reason = yield SelectivityStep(run.table(), "receptive fields", n, n, n - 1, n)
        if reason is not None:
            return run.table(f"ended early: {reason}")
        run.take_fields(client)
    table = run.table()
    yield SelectivityStep(table, "done", n, n, n, n)
    return table


class _Measuring:
    """What is known so far of the neurons of a session."""

    def __init__(self, model: RetinaModel, session: str, neurons: list[int], seed: int) -> None:
        self.model, self.session, self.neurons, self.seed = model, session, neurons, seed
        self.screen = Screen.of(model)
        self.places = np.zeros((len(neurons), 2))
        self._begun = time.perf_counter()
        self._found: dict[str, Measure] = {}
        self._texts: dict[str, NDArray[Any]] = {}
        self._settings: dict[str, Any] = {"neurons": list(neurons)}
        self._notes: list[str] = []
        known = model.neurons(session)
        self._types = np.array([known[neuron].cell_type for neuron in neurons], dtype=object)
        per = "cyc/px" if self.screen.pixel_size_um is None else "cyc/mm"
        self._columns = measured_columns(self.screen.space_unit, per)
        self._absent = dict.fromkeys((c.name for c in self._columns), _WAITS)

    def plan(self, wanted: tuple[str, ...]) -> list[Experiment]:
        """Return the experiments that the screen can show; the notes say which it cannot."""
        plan: list[Experiment] = []
        for name in EXPERIMENTS:
            if name not in wanted:
                self._leave_out(name, "it was not asked for")
                continue
            if name == "receptive_field":
                continue
            try:
                experiment = _experiment(name, self.screen)
                experiment.stimulus(self.screen, **experiment.conditions()[0])
            except ValueError as error:
                self._notes.append(f"{name} was left out: {error}")
                self._leave_out(name, f"{name} cannot be shown: {error}")
            else:
                plan.append(experiment)
                self._settings[name] = plain(
                    {
                        "axes": {axis.name: axis.values for axis in experiment.axes},
                        **experiment.settings,
                    }
                )
        return plan

    def _leave_out(self, name: str, why: str) -> None:
        for column in _OF[name]:
            self._absent[column] = why

    def find_centres(self) -> None:
        """Find where each neuron looks; without an answer it is shown the middle of the screen."""
        found = centres(self.model, neurons=self.neurons, data_key=self.session, seed=self.seed)
        for axis, name in enumerate(("rf_x", "rf_y")):
            self._found[name] = measure(name, found[:, axis], {"no pixel moves it": False})
        lost = int(np.isnan(found).any(axis=1).sum())
        if lost:
            self._notes.append(f"{lost} neurons have no receptive field; shown the middle instead")
        self.places = np.where(np.isnan(found), 0.0, found)

    def take(self, experiment: Experiment, curves: Any) -> None:
        """Read the indices that an experiment allows."""
        found = measures_of(curves)
        for column in _OF[experiment.name]:
            if column in found:
                self._found[column] = found[column]
        if experiment.name == "flash":
            rest, mean = curves.baseline, np.asarray(curves.responses).mean(axis=0)
            self._found["baseline"] = measure("baseline", rest, {})
            self._found["contrast_change"] = measure(
                "change with contrast",
                divide(mean - rest, mean + rest),
                {"no response, to grey or to contrast": np.abs(mean) + np.abs(rest) <= 0},
                limits=(-1, 1),
            )
        elif experiment.name == "size":
            self._found["preferred_size"] = found["preferred_diameter"]
        elif experiment.name == "contrast":
            along = tuning_along(curves, "contrast")
            self._found["c50"] = fit_naka_rushton(along.responses, along.values).value("c50")
        elif experiment.name in ("spatial_frequency", "temporal_frequency"):
            short = "sf" if experiment.name == "spatial_frequency" else "tf"
            along = tuning_along(curves, experiment.name)
            fit = fit_log_gaussian(along.responses, along.values, baseline=curves.baseline)
            self._texts[f"{short}_tuning"] = np.array(fit.shapes, dtype=object)
            self._found[f"preferred_{short}"] = _preferred(
                fit.value("preferred"), fit.shapes, along
            )

    def take_fields(self, client: Any) -> None:
        """Estimate the gradient at grey of every neuron, and what its fits say."""
        found = receptive_fields(
            self.model,
            neurons=self.neurons,
            data_key=self.session,
            seed=self.seed,
            client=client,
        )
        self._settings["receptive_field"] = {"method": found.method, "base": found.base}
        self._texts["rf_polarity"] = np.array(found.polarity, dtype=object)
        why = np.array(found.reasons, dtype=object)
        undefined = {str(words): why == words for words in dict.fromkeys(why.tolist()) if words}
        for name, values in (
            ("rf_diameter", found.pixel * found.fit.diameter),
            ("time_to_peak", found.time_to_peak_ms),
            ("biphasic", found.biphasic_index),
            ("surround_index", found.fit.surround_index),
            ("rf_quality", found.fit.quality),
        ):
            lost = ~np.isfinite(values)
            reasons = {words: where & lost for words, where in undefined.items()}
            self._found[name] = measure(name, values, reasons | {"not determined": lost})

    def table(self, *notes: str) -> SelectivityTable:
        """Return all that is known by now."""
        n = len(self.neurons)
        values: dict[str, NDArray[Any]] = {
            "neuron": np.array(self.neurons),
            "cell_type": self._types,
        }
        reasons: dict[str, NDArray[Any]] = {}
        for column in self._columns:
            name = column.name
            if name in self._found:
                values[name] = self._found[name].values
                reasons[name] = np.array(self._found[name].reasons, dtype=object)
            elif column.kind == "number" and name not in values:
                values[name] = np.full(n, np.nan)
                reasons[name] = np.full(n, self._absent[name], dtype=object)
            elif name not in values:
                values[name] = self._texts.get(name, np.full(n, "", dtype=object))
        types, rules = suggest({c.name: values[c.name] for c in self._columns if _measured(c)})
        values["suggested_type"], values["rule"] = types, rules
        return SelectivityTable(
            self._columns,
            values,
            reasons,
            data_key=self.session,
            model=self.model.identity,
            settings=self._settings,
            seed=self.seed,
            duration_s=time.perf_counter() - self._begun,
            versions=versions(),
            notes=(*self._notes, *notes),
        )


_OF = {
    "flash": ("baseline", "on_off", "transience", "sustained", "contrast_change"),
    "direction": (
        "dsi",
        "preferred_direction",
        "osi",
        "preferred_orientation",
        "f1_f0",
    ),
    "spatial_frequency": ("preferred_sf", "sf_tuning"),
    "temporal_frequency": ("preferred_tf", "tf_tuning"),
    "contrast": ("c50",),
    "chromatic": ("colour_opponency",),
    "size": ("suppression", "preferred_size"),
    "receptive_field": (
        "rf_diameter",
        "time_to_peak",
        "biphasic",
        "surround_index",
        "rf_quality",
    ),
}


def _measured(column: Column) -> bool:
    """Whether it is a number that was measured: the suggestion sees nothing else."""
    return column.kind == "number" and column.name != "neuron"


def _experiment(name: str, screen: Screen) -> Experiment:
    if name == "size":
        diagonal = float(np.hypot(screen.height, screen.width))
        pixels = np.unique(np.round(np.geomspace(min(2.0, diagonal), diagonal, _SIZES)))
        diameters = [screen.length(pixel) for pixel in pixels]
        return experiments.size_tuning(diameters, duration_s=_SIZE_S).on(screen)
    return experiments.standard(name, screen)


def _preferred(fitted: Measure, shapes: tuple[str, ...], along: Any) -> Measure:
    """Return the fitted peak; at an end of what was shown, that end."""
    kinds = np.array(shapes, dtype=object)
    ends = np.where(kinds == "low-pass", along.values.min(), along.values.max())
    at_end = (kinds == "low-pass") | (kinds == "high-pass")
    reasons = np.array(fitted.reasons, dtype=object)
    values = np.where(at_end, ends, fitted.values)
    undefined = {str(why): reasons == why for why in dict.fromkeys(reasons.tolist()) if why}
    return measure(fitted.name, values, {why: where & ~at_end for why, where in undefined.items()})
