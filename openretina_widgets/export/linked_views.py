"""What a page shows of results in which a choice decides what is seen beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.curve_content import Curve
from openretina_widgets.drawing.field_content import as_images, encode_images, listing
from openretina_widgets.drawing.map_content import (
    NO_MAPS,
    ResponseMap,
    encoded_axis,
    encoded_map,
    map_note,
    maps_in_words,
)
from openretina_widgets.drawing.plane_content import NO_PLANE, plane_content
from openretina_widgets.drawing.retina_content import retina_content
from openretina_widgets.export.results import Result
from openretina_widgets.export.views import (
    Group,
    View,
    lines_view,
    name_of,
    player_content,
    player_state,
    table_state,
    wall_state,
)
from openretina_widgets.export.views import (
    groups_of as groups_of_others,
)
from openretina_widgets.insilico.population.columns import Column
from openretina_widgets.insilico.population.table import SelectivityTable
from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
from openretina_widgets.insilico.stimulus_optimization.picture import strongest_frames
from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.measure import Measure
from openretina_widgets.insilico.tuning_analyses.response_gradient_result import ResponseGradient

_MOST_BYTES = 48 * 2**20  # of movies or images in a page, before they are made text
_TYPE = Column("cell_type", "cell type", "", "What the model says that the neuron is.", "text")


def groups_of(result: Result, prefix: str = "") -> list[Group]:
    """Return what is shown of a result; names of choices begin with `prefix`."""
    if isinstance(result, PopulationResult):
        return _population(result, f"{prefix}neuron")
    if isinstance(result, ResponseGradient):
        return _gradient(result, f"{prefix}neuron", f"{prefix}point")
    if isinstance(result, VectorField):
        return _planes(result, f"{prefix}neuron", f"{prefix}image")
    return groups_of_others(result)


# Best stimuli --------------------------------------------------------------------------------


def _population(result: PopulationResult, neuron_name: str) -> list[Group]:
    """Return a wall, and the player and the scores of the neuron that is chosen on it."""
    if not len(result):
        return [Group(words="No neuron had ended yet.")]
    summary = result.summary
    best = dict(zip(summary.neurons, summary["seed"].astype(int).tolist(), strict=True))
    scores = dict(zip(summary.neurons, summary["score"].tolist(), strict=True))
    ranked = sorted(best, key=lambda neuron: -np.nan_to_num(scores[neuron], nan=-np.inf))
    each = max(1, int(result.card.get("bytes_of_one", 0)) // 4)  # a byte a value
    played = set(ranked[: max(1, _MOST_BYTES // each)])
    images: dict[int, np.ndarray] = {}
    movies: dict[str, dict[str, Any]] = {}
    traces: dict[str, dict[str, Any]] = {}
    one: OptimizationResult | None = None
    for block in result.blocks():
        one = one or block
        frames = strongest_frames(block.stimulus)
        for row, ((neuron,), seed) in enumerate(zip(block.neurons, block.seeds, strict=True)):
            if seed != best[neuron] or neuron in images:
                continue
            images[neuron] = frames[row]
            if neuron not in played:
                continue
            name = name_of(neuron, result.cell_type(neuron))
            content = player_content(block.stimulus[row], block.channels)
            movies[str(neuron)] = {"_content": content, "title": f"Neuron {name}"}
            traces[str(neuron)] = _score(block, row, f"Score of {name}").state
    if one is None:
        raise ValueError("results: the folder holds no results any more")
    neurons = sorted(images)
    labels = [name_of(neuron, result.cell_type(neuron)) for neuron in neurons]
    shown = as_images(np.stack([images[neuron] for neuron in neurons]))
    panels = one.channels if len(one.channels) > 1 else ()
    notes = [f"score {scores[neuron]:.4g}" for neuron in neurons]
    pixels, limits = encode_images(shown, "each")
    said = listing(shown, neurons, labels, notes, panels)
    first = ranked[0]
    title = "Best stimuli: the frame with the most power"
    wall = wall_state(title, one.unit, one.pixel_size_um, many=len(neurons) > 8)
    wall |= {
        "selected": [first],
        "_content": {"version": 1, **said, "limits": limits, "frames": pixels},
    }
    follows = (neuron_name,)
    views = [
        View("field_wall", wall, whole=True, name=neuron_name),
        View(
            "stimulus_player",
            player_state(one, unit=one.unit) | movies[str(first)],
            whole=True,
            follows=follows,
            states=movies,
        ),
        View("tuning_plot", traces[str(first)], follows=follows, states=traces),
    ]
    words = "A click on a stimulus, or on a row of the table, plays it."
    if len(played) < len(neurons):
        words += (
            f" Movies of the {len(played):,} neurons with the highest scores are in this page, of "
            f"{len(neurons):,}."
        )
    table = table_state(_with_types(summary, [result.cell_type(n) for n in summary.neurons]))
    table["selected"] = [first]
    rows = View("population_table", table, whole=True, name=neuron_name)
    return [Group(words=words, views=views), Group("All neurons", views=[rows])]


def _score(block: OptimizationResult, row: int, title: str) -> View:
    trace = block.score_trace[: int(block.iterations[row]) + 1, row].numpy()
    curves = [Curve("score", trace)]
    x = ("iteration", "")
    return lines_view(title, np.arange(len(trace)), curves, x=x, y_label="score (a.u.)")


# Gradients -----------------------------------------------------------------------------------


def _gradient(gradient: ResponseGradient, neuron_name: str, point_name: str) -> list[Group]:
    """Return a table, the map of the neuron that is chosen in it, and the movie of a point."""
    names = _names(gradient)
    green, uv = (
        Axis.of(name, values.tolist())
        for name, values in zip(gradient.channels, (gradient.green, gradient.uv), strict=True)
    )
    first, second = gradient.channels
    labels = (f"{first} contrast", f"{second} contrast")
    alike = len(gradient.movies) == 1  # shown to all neurons
    hint = f"A click on a cell, or the arrow keys, tell its response{' and play it' * alike}."
    maps = {
        str(neuron): {
            "_content": {
                **_map(gradient, column, (green, uv), labels, names[column]),
                "hint": hint,
            }
        }
        for column, neuron in enumerate(gradient.neurons)
    }
    lead = str(gradient.neurons[0])
    best = int(np.nan_to_num(gradient.responses[..., 0], nan=-np.inf).argmax())
    state = {
        "title": f"Response and its gradient: {gradient.stimulus}",
        "height": 400.0,
        "placeholder": "No response is known.",
        "clicked": best,
        "_colours": colour.SEQUENTIAL.tobytes(),
    }
    views = [
        View(
            "tuning_map",
            state | maps[lead],
            whole=True,
            name=point_name,
            follows=(neuron_name,),
            states=maps,
        )
    ]
    # Every point of one movie for all; of movies for each, those at full contrast.
    if alike:
        points = np.stack(np.meshgrid(gradient.green, gradient.uv, indexing="ij"), -1)
        neuron = gradient.neurons[0]
        shown = {
            str(k): (
                gradient.movie(neuron, float(g), float(u)),
                f"{first} {g:+.3g}, {second} {u:+.3g}",
            )
            for k, (g, u) in enumerate(points.reshape(-1, 2))
        }
        follows, start = (point_name,), str(best)
    else:
        shown = {
            str(neuron): (
                gradient.movies[gradient.movie_of[column]],
                f"neuron {names[column]}, both contrasts 1",
            )
            for column, neuron in enumerate(gradient.neurons)
        }
        follows, start = (neuron_name,), lead
    words = "A click on a row shows that neuron. An arrow is how the response grows with both."
    if sum(one.size for one, _ in shown.values()) <= _MOST_BYTES:
        movies = {
            key: {
                "_content": player_content(one, gradient.channels),
                "title": f"Stimulus: {title}".replace("-", "−"),
            }
            for key, (one, title) in shown.items()
        }
        player = player_state(gradient, unit="model units") | movies[start]
        views.append(View("stimulus_player", player, whole=True, follows=follows, states=movies))
        if alike:
            words += " A click on a cell plays its stimulus."
    return [_rows(gradient, gradient.indices(), neuron_name, words), Group(views=views)]


def _map(
    gradient: ResponseGradient,
    column: int,
    axes: tuple[Axis, Axis],
    labels: tuple[str, str],
    name: str,
) -> dict[str, Any]:
    slopes = gradient.gradients[:, :, column]
    grey = float(gradient.grey_response[column])
    one = ResponseMap(name, gradient.responses[..., column], grey, slopes)
    longest = ""
    if np.isfinite(slopes).any():
        size = float(np.nanmax(np.linalg.norm(slopes, axis=2)))
        longest = f"Arrows: gradient, the longest {size:.3g} a.u. for a contrast of 1."
    return {
        **NO_MAPS,
        "version": 1,
        "x": encoded_axis(axes[0], labels[0], gradient.channels[0]),
        "y": encoded_axis(axes[1], labels[1], gradient.channels[1]),
        "unit": gradient.unit,
        "maps": [encoded_map(one)],
        "note": f"{map_note(*axes, 1)} {longest}".strip(),
        "words": maps_in_words([one], axes, labels, gradient.unit),
    }


# Vector fields -------------------------------------------------------------------------------


def _planes(field: VectorField, neuron_name: str, image_name: str) -> list[Group]:
    """Return a table, the plane of the neuron that is chosen in it, and the maps of an image."""
    names = _names(field)
    most = max(1, _MOST_BYTES // max(1, field.lsta[:, 0].size))
    columns = range(min(most, len(field.neurons)))
    planes = {
        str(field.neurons[column]): {
            "_content": {**NO_PLANE, "version": 1, **_plane(field, column)},
            "title": f"Images in the plane of {names[column]}",
        }
        for column in columns
    }
    lead = str(field.neurons[0])
    best = int(field.responses[:, 0].argmax())
    state = {
        "height": 420.0,
        "placeholder": "No image.",
        "clicked": best,
        "_colours": colour.SEQUENTIAL.tobytes(),
    }
    views = [
        View(
            "vector_plane",
            state | planes[lead],
            whole=True,
            name=image_name,
            follows=(neuron_name,),
            states=planes,
        )
    ]
    apart = field.images - np.asarray(field.grey, np.float32)[:, None, None]
    limit = colour.symmetric_limits(apart)[1]
    shape = (field.images.shape[2], field.images.shape[3])
    several = len(field.channels) > 1
    for k, name in enumerate(field.channels):
        images = {
            str(at): {"_content": retina_content(picture[k], shape, limit=limit)}
            for at, picture in enumerate(apart)
        }
        title = f"Image, {name}" if several else "Image"
        frame = _retina(field, title, "model units") | images[str(best)]
        views.append(View("retina_map", frame, follows=(image_name,), states=images))
    for k, name in enumerate(field.channels):
        found = {
            f"{field.neurons[column]}/{at}": {"_content": retina_content(picture, shape, limit=end)}
            for column in columns
            for end in [colour.symmetric_limits(field.lsta[:, column])[1]]
            for at, picture in enumerate(field.lsta[:, column, k])
        }
        title = f"LSTA, {name}" if several else "LSTA"
        frame = _retina(field, title, f"{field.unit} / unit") | found[f"{lead}/{best}"]
        follows = (neuron_name, image_name)
        views.append(View("retina_map", frame, follows=follows, states=found))
    words = (
        f"At {field.described}. A click on a row shows that neuron, a click on a point the image "
        "and the LSTA there."
    )
    if len(columns) < len(field.neurons):
        words += f" Of {len(field.neurons):,} neurons, the first {len(columns):,} are drawn."
    return [_rows(field, field.indices(), neuron_name, words), Group(views=views)]


def _plane(field: VectorField, column: int) -> dict[str, Any]:
    slopes = field.slopes[:, column]
    note = "The LSTA vanishes at every image."
    if np.isfinite(field.explained[column]).all():
        first, second = field.explained[column]
        longest = float(np.linalg.norm(slopes, axis=1).max())
        note = (
            f"The axes hold {first:.0%} and {second:.0%} of the LSTA power. Longest arrow "
            f"{longest:.3g} a.u. for each model unit. Dashed: grey."
        )
    return plane_content(
        field.coordinates[:, column],
        slopes,
        field.responses[:, column],
        labels=field.axis_labels(column),
        unit=field.unit,
        note=note,
    )


def _retina(field: VectorField, title: str, unit: str) -> dict[str, Any]:
    return {
        "title": title,
        "unit": unit,
        "placeholder": "",
        "pixel_size_um": field.pixel_size_um,
        "selectable": False,
        "colour_bar": True,
        "width": 330.0,
        "height": 250.0,
        "selected": [],
        "_colours": colour.DIVERGING.tobytes(),
    }


# Tables --------------------------------------------------------------------------------------


def _names(result: ResponseGradient | VectorField) -> list[str]:
    types = result.cell_types or ("",) * len(result.neurons)
    return [name_of(n, kind or "") for n, kind in zip(result.neurons, types, strict=True)]


def _rows(
    result: ResponseGradient | VectorField,
    indices: Mapping[str, Measure],
    neuron_name: str,
    words: str,
) -> Group:
    """Return the table of the neurons' indices, in which one is chosen."""
    numbers = [Column(key, one.name, one.unit) for key, one in indices.items()]
    table = SelectivityTable(
        columns=(Column("neuron", "neuron"), *numbers),
        values={
            "neuron": np.array(result.neurons),
            **{key: one.values for key, one in indices.items()},
        },
        reasons={key: np.array(one.reasons, dtype=object) for key, one in indices.items()},
        data_key=result.data_key,
        model=result.model,
    )
    types = [kind or "" for kind in result.cell_types or ("",) * len(result.neurons)]
    height = min(320, 90 + 34 * len(result.neurons))  # of the head, and of rows
    state = table_state(_with_types(table, types), height=height)
    state["selected"] = [result.neurons[0]]
    return Group(words=words, views=[View("population_table", state, whole=True, name=neuron_name)])


def _with_types(table: SelectivityTable, types: Sequence[str]) -> SelectivityTable:
    """Return the table with the cell types as its second column, where one is known."""
    if not any(types):
        return table
    neuron, *others = table.columns
    values = {**table.values, _TYPE.name: np.array(list(types), dtype=object)}
    return replace(table, columns=(neuron, _TYPE, *others), values=values)
