"""Saving what a widget has found: `export` in code, and a line with a button in the page."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as ipw

from openretina_widgets.export import SUFFIXES, save
from openretina_widgets.export.results import Results

_FAILURES = (OSError, ValueError, TypeError, RuntimeError, ImportError)


class Exportable:
    """A widget whose result can be saved; `_result_trait` names the trait that holds it.

    Attributes
    ----------
    export_formats
        Suffixes of the files that it can be saved as, and what each is.
    """

    export_formats: ClassVar[Mapping[str, str]] = SUFFIXES
    _result_trait = "result"

    @property
    def exported(self) -> Results:
        """What is saved: the result, or several by name.

        Raises
        ------
        RuntimeError
            If there is none yet.
        """
        result = getattr(self, self._result_trait)
        if result is None:
            raise RuntimeError("there is no result to save yet; run the experiment first")
        found: Results = result
        return found

    def export(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, **settings: Any
    ) -> Path:
        """Save what was found in the format that the suffix of the path names.

        Parameters
        ----------
        path
            Ends in one of `export_formats`, such as ``.html`` for a page that opens offline.
        overwrite
            Whether a file that is there may be replaced.
        **settings
            See `openretina_widgets.export.save`.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        RuntimeError
            If there is no result yet.
        TypeError, ValueError, OSError, ImportError
            If it cannot be written; the message says why.
        """
        return self._saved(path, overwrite=overwrite, **settings)

    def _saved(self, path: str | os.PathLike[str], *, overwrite: bool, **settings: Any) -> Path:
        return save(self.exported, path, overwrite=overwrite, **settings)


class ChosenExport(Exportable):
    """A widget whose pictures show the neurons that are chosen; its result is no movie.

    Other ``neurons`` can be given to `export`.
    """

    export_formats: ClassVar[Mapping[str, str]] = {
        suffix: words for suffix, words in SUFFIXES.items() if suffix not in (".gif", ".mp4")
    }

    def _saved(self, path: str | os.PathLike[str], *, overwrite: bool, **settings: Any) -> Path:
        result: Any = self.exported
        if Path(path).suffix.lower() in (".png", ".svg"):
            chosen = [neuron for neuron in self._chosen_neurons if neuron in result.neurons]
            settings = {"neurons": chosen or None} | settings
        return save(result, path, overwrite=overwrite, **settings)

    @property
    def _chosen_neurons(self) -> tuple[int, ...]:
        raise NotImplementedError


class ExportMenu(ipw.HBox):
    """A format, a name, and a button that saves; what became of it is said beside.

    Parameters
    ----------
    widget
        Whose result is saved.
    name
        File name at first, without a suffix.
    label
        What stands before the format.
    """

    def __init__(self, widget: Exportable, *, name: str, label: str = "Save as") -> None:
        self._widget, formats = widget, widget.export_formats
        self._format = ipw.Dropdown(
            options=[(f"{suffix}  {words}", suffix) for suffix, words in formats.items()],
            value=".html" if ".html" in formats else next(iter(formats)),
            description=label,
            tooltip="What kind of file",
            layout=ipw.Layout(width="340px"),
            style={"description_width": "60px"},
        )
        self._name = ipw.Text(
            value=name,
            placeholder="name, or path on the kernel's machine",
            tooltip="Name or path on the machine of the kernel; the suffix is added",
            layout=ipw.Layout(width="220px"),
        )
        self._replace = ipw.Checkbox(
            value=False,
            indent=False,
            description="replace",
            tooltip="Replace a file of that name",
            layout=ipw.Layout(width="auto", margin="2px 8px"),
        )
        self._button = ipw.Button(
            description="Save", icon="download", tooltip="Save on the machine of the kernel"
        )
        self._said = ipw.HTML(layout=ipw.Layout(flex="1 1 240px", min_width="0"))
        super().__init__(
            (self._format, self._name, self._replace, self._button, self._said),
            layout=ipw.Layout(flex_flow="row wrap", width="100%", margin="8px 0 0"),
        )
        self.add_class("orw-export")
        self._button.on_click(lambda _: self.save())

    def save(self) -> None:
        """Save under the name that is written; say where it is, or why it is not."""
        written = self._name.value.strip()
        if not written:
            self._tell("failed", "write a name first")
            return
        known = Path(written).suffix.lower() in self._widget.export_formats
        path = written if known else f"{written}{self._format.value}"
        self._button.disabled = True
        try:
            file = self._widget.export(path, overwrite=self._replace.value)
        except _FAILURES as error:
            self._tell("failed", str(error))
        else:
            self._tell("saved", f"Saved {file.resolve()}, {_size(file)}.")
        finally:
            self._button.disabled = False

    def _tell(self, kind: str, words: str) -> None:
        name = "orw-error" if kind == "failed" else "orw-note"
        role = "alert" if kind == "failed" else "status"
        self._said.value = f'<div class="{name}" role="{role}">{html.escape(words)}</div>'


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
