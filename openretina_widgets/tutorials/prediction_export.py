"""A prediction and what came of it, as files to take home."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openretina_widgets.export.by_suffix import SUFFIXES, save
from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.page import to_page
from openretina_widgets.export.results import Result
from openretina_widgets.export.views import Group
from openretina_widgets.widgets.export_button import Exportable

if TYPE_CHECKING:
    from openretina_widgets.tutorials.prediction_panel import PredictionPanel

_MOVIES = (".gif", ".mp4")


class PredictionExport(Exportable):
    """What a prediction saves: itself, with what was measured; as ``.json`` also before it is."""

    export_formats: ClassVar[Mapping[str, str]] = {
        ".html": "page of both that opens offline",
        ".png": "picture of both",
        ".svg": "drawing of both",
        ".json": "prediction, measurement, distance and explanation",
        **{suffix: SUFFIXES[suffix] for suffix in (".ipynb", ".npz", ".zip")},
    }

    @property
    def exported(self) -> Result:
        """What was measured, with the prediction, its distance and the explanation as notes.

        Raises
        ------
        RuntimeError
            If it is not observed yet.
        """
        panel: PredictionPanel[Any, Any] = self  # type: ignore[assignment]
        if panel.result is None:
            raise RuntimeError("there is no result to save yet; commit a prediction and observe it")
        found: Result = replace(
            panel.result, notes=(*panel.result.notes, *_in_words(panel.to_dict(), panel.verdict))
        )
        return found

    def _saved(self, path: str | os.PathLike[str], *, overwrite: bool, **settings: Any) -> Path:
        suffix = Path(path).suffix.lower() if isinstance(path, str | os.PathLike) else ""
        if suffix in _MOVIES:
            raise ValueError(
                f"path: a prediction does not move, and has no {suffix}; expected one of "
                f"{', '.join(self.export_formats)}"
            )
        target = check_path(path, tuple(self.export_formats), overwrite=overwrite)
        panel: PredictionPanel[Any, Any] = self  # type: ignore[assignment]
        if suffix == ".json":
            text = json.dumps(panel.to_dict(), indent=1, ensure_ascii=False)
            with written_whole(target) as partial:
                partial.write_text(text + "\n", encoding="utf-8")
            return target
        result = self.exported
        if suffix == ".html":
            first = self._groups()
            named = {"title": panel.question, "first": first, "overwrite": overwrite, **settings}
            return to_page({"measured": result}, target, **named)
        if suffix not in (".png", ".svg"):
            return save(result, target, overwrite=overwrite, **settings)
        figure = self._figure()
        figure.suptitle(panel.question.replace("$", r"\$"), wrap=True)
        figure.supxlabel(panel.verdict.replace("$", r"\$"), fontsize="small", wrap=True)
        with written_whole(target) as partial:
            figure.savefig(partial, format=suffix[1:], **{"dpi": 150.0, **settings})
        return target

    def _groups(self) -> list[Group]:
        """Return what a page shows of the prediction, beside what was measured."""
        raise NotImplementedError

    def _figure(self) -> Any:
        """Draw prediction and measurement together."""
        raise NotImplementedError


def _in_words(kept: Mapping[str, Any], verdict: str) -> list[str]:
    said = json.dumps(kept["prediction"], ensure_ascii=False)
    words = [f"Predicted before it was measured ({kept['question']}): {said}", verdict]
    if kept["explanation"]:
        words.append(f"Explanation: {kept['explanation']}")
    return [one for one in words if one]
