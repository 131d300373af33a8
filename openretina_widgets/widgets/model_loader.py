"""Open a model by name or path, on a device, and see what it is."""

from __future__ import annotations

import html
from collections.abc import Generator
from concurrent.futures import CancelledError
from typing import Any

import ipywidgets as ipw
import torch
import traitlets

from openretina_widgets.jobs import Job
from openretina_widgets.models.card import printable
from openretina_widgets.models.loading import EMBEDDED, load_model
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition


class ModelLoader(Composition):
    """Opens the embedded retina, or an OpenRetina checkpoint by its path.

    Loading takes place in a worker thread; what goes wrong is said in the widget.

    Parameters
    ----------
    source
        Opened at once: ``"synthetic"`` or the path of a checkpoint. None to wait for a press on
        Load.
    device
        Device chosen at first.

    Attributes
    ----------
    model : RetinaModel or None
        The model that was opened last; may be observed.

    Raises
    ------
    ValueError, FileNotFoundError
        If `source` or `device` do not exist; see `load_model`.
    """

    job: Job[Any, RetinaModel] | None = None
    model = traitlets.Instance(RetinaModel, allow_none=True)

    def __init__(self, source: str | None = EMBEDDED, *, device: str = "cpu") -> None:
        model = None if source is None else load_model(source, device=device)
        self._source = ipw.Combobox(
            value=source or "",
            options=[EMBEDDED],
            placeholder="synthetic, or the path of a checkpoint",
            ensure_option=False,
            description="Model",
            layout=ipw.Layout(flex="1 1 320px", min_width="0"),
            style={"description_width": "62px"},
        )
        self._device = ipw.Dropdown(
            options=_devices(),
            value=str(device),
            description="on",
            layout=ipw.Layout(width="150px"),
        )
        self._device.style.description_width = "24px"
        self._load = ipw.Button(
            description="Load",
            icon="folder-open",
            tooltip="Open the model",
            layout=ipw.Layout(width="112px"),
        )
        self._card = ipw.HTML(layout=ipw.Layout(width="100%", min_height="66px"))
        row = ipw.HBox(
            [self._source, self._device, self._load],
            layout=ipw.Layout(width="100%", flex_flow="row wrap"),
        )
        super().__init__((row, self._card))
        self.add_class("orw-loader")
        self._load.on_click(lambda _: self._main_loop.call(self._pressed))
        self._say("Choose a model and press Load.")
        self.model = model

    def load(self, source: str, *, device: str = "cpu") -> Job[Any, RetinaModel]:
        """Open a model in a worker thread; ``await`` the job for it.

        What goes wrong is shown in the widget and raised by ``await``.
        """
        if self.job is not None:
            self.job.close()
        self._load.disabled = True
        self._say(f"Opening {source} …")

        def opening() -> Generator[None, str | None, RetinaModel]:
            yield
            return load_model(source, device=device)

        self.job = Job(opening, on_done=self._opened, name="open a model").start()
        return self.job

    def close(self) -> None:
        """Close the widget; a model that is being opened is given up."""
        if self.job is not None:
            self.job.close()
        super().close()

    def _pressed(self) -> None:
        self.load(self._source.value.strip(), device=self._device.value)

    def _opened(self, job: Job[Any, RetinaModel]) -> None:
        self._load.disabled = False
        try:
            model = job.result()
        except CancelledError:
            self._say("Stopped before the model was open.")
        except (ValueError, TypeError, OSError, RuntimeError, MemoryError) as error:
            self._say(str(error), failed=True)
        else:
            self.model = model

    @traitlets.observe("model")
    def _describe(self, change: Any) -> None:
        if change["new"] is not None:
            self._card.value = f'<div class="orw-card">{model_card(change["new"])}</div>'

    def _say(self, text: str, *, failed: bool = False) -> None:
        kind, role = ("orw-error", "alert") if failed else ("orw-note", "status")
        self._card.value = f'<div class="{kind}" role="{role}">{html.escape(text)}</div>'


def model_card(model: RetinaModel) -> str:
    """Return what a model is, as HTML in which everything from the model is escaped.

    The main facts, and the whole card below them, folded.
    """
    card = model.card
    _, height, width = card.input_shape
    size = card.pixel_size_um
    pixel = f"{size:g} µm a pixel" if size else "pixel size not known"
    facts = [
        f"sessions {len(card.sessions)}, neurons {card.n_neurons}",
        f"{' + '.join(card.channels)}, {height} × {width} pixels, {pixel}",
        f"{card.frame_rate:g} Hz, lag {card.lag} frames ({card.lag_ms:.0f} ms)",
        f"{card.n_parameters:,} parameters, weights {card.weight_hash}",
    ]
    head = f"<b>{html.escape(printable(card.name))}</b> · {html.escape(printable(card.source))}"
    description = f"<br>{html.escape(printable(card.description))}" if card.description else ""
    return (
        f"{head}{description}<br>{html.escape(printable(' · '.join(facts)))}"
        '<details><summary style="cursor:pointer">The whole card</summary>'
        f"{card.html()}</details>"
    )


def _devices() -> list[str]:
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
