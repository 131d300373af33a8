"""Results as arrays and JSON: one in an ``.npz`` file, a session in a ``.zip`` of them."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.results import KINDS, Result, Results, kind_of, session_of
from openretina_widgets.insilico.archive import read_archive
from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult

_FORMAT = 1
_INDEX = "session.json"
_OF_FILE = {
    "optimization result": "best_stimulus",
    "tuning curves": "tuning_curves",
    "ReceptiveFields": "receptive_fields",
    "selectivity table": "selectivity_table",
    "shown stimulus": "shown_stimulus",
    "response gradient": "response_gradient",
    "vector field": "vector_field",
}


def to_archive(results: Results, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write results with all that they carry, without pickle.

    The results of a population are written as one batch, an `OptimizationResult`.

    Parameters
    ----------
    results
        One result, a list of them, or a dictionary by name.
    path
        Ends in ``.npz`` for one result, in ``.zip`` for any number.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file; `from_archive` reads it.

    Raises
    ------
    TypeError, ValueError, OSError
        If `results` are none, or `path` cannot be written; the message says why.
    OutOfMemory
        If the results of a population do not fit into memory together.
    """
    named = {
        name: one.together() if isinstance(one, PopulationResult) else one
        for name, one in session_of(results).items()
    }
    target = check_path(path, (".npz", ".zip"), overwrite=overwrite)
    if target.suffix.lower() == ".npz":
        if len(named) > 1:
            raise ValueError(
                f"path: an .npz file holds one result, and there are {len(named)}; end it in .zip"
            )
        with written_whole(target) as partial:
            # A suffix in capitals is added to.
            next(iter(named.values())).save(partial).replace(partial)
        return target
    with written_whole(target) as partial, tempfile.TemporaryDirectory() as folder:
        index: list[dict[str, str]] = []
        # The parts are compressed already.
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for number, (name, result) in enumerate(named.items(), start=1):
                file = f"{number:03d}_{kind_of(result)}.npz"
                archive.write(result.save(Path(folder) / file), file)
                index.append({"name": name, "kind": kind_of(result), "file": file})
            text = json.dumps({"format": _FORMAT, "results": index}, indent=1)
            archive.writestr(_INDEX, text)
    return target


def from_archive(
    path: str | os.PathLike[str],
) -> Result | dict[str, Result]:
    """Read what `to_archive`, or the ``save`` of a result, wrote.

    Returns
    -------
    a result or dict
        The result of an ``.npz`` file: `OptimizationResult`, `TuningCurves`, `ReceptiveFields`,
        `SelectivityTable`, `ShownStimulus`, `ResponseGradient` or `VectorField`; results by name
        of a ``.zip`` file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds no saved results.
    """
    source = Path(path)
    if source.suffix.lower() != ".zip":
        kind = read_archive(
            source, lambda words, arrays: str(words.get("kind", "optimization result"))
        )
        if kind not in _OF_FILE:
            raise ValueError(f"path: {str(source)!r} holds an unknown kind of result, {kind!r}")
        return KINDS[_OF_FILE[kind]].load(source)
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as folder:
            index: dict[str, Any] = json.loads(archive.read(_INDEX))
            if index["format"] != _FORMAT:
                raise ValueError(
                    f"path: expected format {_FORMAT} of a saved session, got {index['format']!r}"
                )
            found: dict[str, Result] = {}
            for number, entry in enumerate(index["results"]):
                # Under a name of our own: one from the file could point elsewhere.
                place = Path(folder) / f"{number}.npz"
                place.write_bytes(archive.read(str(entry["file"])))
                found[str(entry["name"])] = KINDS[entry["kind"]].load(place)
            return found
    except (LookupError, TypeError, zipfile.BadZipFile, zlib.error, json.JSONDecodeError) as error:
        raise ValueError(f"path: {str(source)!r} is no saved session") from error


def _kind_in(words: dict[str, Any], _: dict[str, Any]) -> str:
    return str(words.get("kind", "optimization result"))
