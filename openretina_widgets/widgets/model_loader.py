"""Open a model by name, path, upload or variable, on a device, and see what it is."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from typing import Any

import ipywidgets as ipw
import torch
import traitlets
from IPython.core.getipython import get_ipython

from openretina_widgets.jobs import Job
from openretina_widgets.memory import free_memory
from openretina_widgets.models.card import counted, printable
from openretina_widgets.models.device import check_device
from openretina_widgets.models.loading import EMBEDDED, TRAINED, load_model
from openretina_widgets.models.published import PUBLISHED, Progress, fetch_steps
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.widgets.composition import Composition, button
from openretina_widgets.widgets.file_upload import FileUpload

_WIDTH = "112px"  # of a button
_VARIABLE = "variable "  # before the name of a variable of the notebook


class ModelLoader(Composition):
    """Opens the embedded retina, a published model, a checkpoint, or a variable of the notebook.

    A file may also be uploaded from the browser's machine. Loading takes place in a worker thread
    and can be cancelled; what goes wrong is said in the widget, and the model that was open stays.

    Parameters
    ----------
    source
        Opened at once: a name or path for `load_model`. None to wait for a press on Load.
    device
        Device chosen at first.

    Attributes
    ----------
    model : RetinaModel or None
        The model that was opened last; may be observed.
    job : Job or None
        The opening that is going on, or the last one.

    Raises
    ------
    ValueError, FileNotFoundError
        If `source` or `device` do not exist; see `load_model`.
    """

    job: Job[Any, RetinaModel] | None = None
    _shell: Any = None  # of the notebook; None in plain Python, and once closed
    model = traitlets.Instance(RetinaModel, allow_none=True)

    def __init__(self, source: str | None = EMBEDDED, *, device: str = "cpu") -> None:
        model = None if source is None else load_model(source, device=device)
        self._stoppers: list[Callable[[], Job[Any, Any] | None]] = []
        self._source = ipw.Combobox(
            value=source or "",
            placeholder="a name, the path of a checkpoint, or a variable",
            ensure_option=False,
            description="Model",
            layout=ipw.Layout(flex="1 1 320px", min_width="0"),
            style={"description_width": "62px"},
        )
        self._device = ipw.Dropdown(
            options=_devices(),
            value=_listed(device),
            description="on",
            layout=ipw.Layout(width="230px"),
        )
        self._device.style.description_width = "24px"
        self._load = button("Load", "folder-open", "Open the model", width=_WIDTH)
        self._cancel = button(
            "Cancel", "times", "Give it up; the model that was open stays", width=_WIDTH
        )
        self._cancel.disabled = True
        self._upload = FileUpload(label="Upload …", accept=".ckpt,.pt")
        self._card = ipw.HTML(layout=ipw.Layout(width="auto", min_height="66px"))
        row = ipw.HBox(
            [self._source, self._device, self._load, self._cancel, self._upload],
            layout=ipw.Layout(width="100%", flex_flow="row wrap"),
        )
        super().__init__((row, self._card))
        self.add_class("orw-loader")
        self._load.on_click(lambda _: self._main_loop.call(self._pressed))
        self._cancel.on_click(lambda _: self.cancel())
        self._upload.observe(self._uploaded, "path")
        self._shell = get_ipython()
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._list_sources)
        self._list_sources()
        self._say("Choose a model and press Load.")
        self.model = model

    def load(self, source: str, *, device: str = "cpu") -> Job[Any, RetinaModel]:
        """Open a model in a worker thread; ``await`` the job for it.

        Runs of linked widgets are stopped first; see `stop_first`. What goes wrong is shown in the
        widget and raised by ``await``.

        Parameters
        ----------
        source
            A name or path for `load_model`, or ``"variable net"``, or ``"net"`` where no model is
            called so, for the model in the variable `net` of the notebook, which stays on its
            device.
        device
            Where the weights go.
        """
        if self.job is not None:
            self.job.close()
        stopping = [run for run in (stop() for stop in self._stoppers) if run is not None]
        self._load.disabled, self._cancel.disabled = True, False
        self._say(f"Opening {source} …")
        if source not in (EMBEDDED, TRAINED, *PUBLISHED) and source in self._variables():
            source = _VARIABLE + source  # typed without the word
        live = self._live_model(source) if source.startswith(_VARIABLE) else None

        def opening() -> Generator[Progress | None, object, RetinaModel]:
            for run in stopping:
                run.wait()
            yield None
            if live is not None:
                return live()
            if source in PUBLISHED:
                yield from fetch_steps(source)
            return load_model(source, device=device)

        self.job = Job(
            opening,
            on_update=lambda progress: self._show_progress(source, progress),
            on_done=self._opened,
            rate_hz=5.0,
            name="open a model",
        ).start()
        return self.job

    def cancel(self) -> None:
        """Give up the opening that is going on."""
        if self.job is not None:
            self.job.cancel("cancelled by the user")

    def stop_first(self, stop: Callable[[], Job[Any, Any] | None]) -> None:
        """Call `stop` before a model is opened, and wait for the end of the run that it returns.

        Two runs would share the machine, and a run on the model that goes away would be lost.
        """
        self._stoppers.append(stop)

    def close(self) -> None:
        """Close the widget; a model that is being opened is given up."""
        if self.job is not None:
            self.job.close()
        if self._shell is not None:
            self._shell.events.unregister("post_run_cell", self._list_sources)
            self._shell = None
        super().close()

    def _pressed(self) -> None:
        self.load(self._source.value.strip(), device=self._device.value)

    def _uploaded(self, change: Any) -> None:
        self._source.value = str(change["new"])
        self._pressed()

    def _opened(self, job: Job[Any, RetinaModel]) -> None:
        self._load.disabled, self._cancel.disabled = False, True
        chosen = self._device.value  # new options would choose the first of them
        self._device.options = _devices()  # what is free has changed
        self._device.value = chosen
        still = f" Still open: {self.model.name}." if self.model is not None else ""
        try:
            model = job.result()
        except CancelledError:
            self._say(f"Cancelled before the model was open.{still}")
            return
        except (ValueError, TypeError, OSError, RuntimeError, MemoryError) as error:
            words = str(error).rstrip(".")
            self._say(f"{words}.{still}" if still else str(error), failed=True)
            return
        if model is self.model:
            self._show_card(model)
        self.model = model

    @traitlets.observe("model")
    def _describe(self, change: Any) -> None:
        if change["new"] is not None:
            self._show_card(change["new"])

    def _show_card(self, model: RetinaModel) -> None:
        self._card.value = (
            f'<div class="orw-card" style="line-height:1.45">{model_card(model)}</div>'
        )

    def _list_sources(self, *_: Any) -> None:
        """Offer the names, and the notebook's variables that hold a model."""
        names = self._variables()
        self._source.options = (
            EMBEDDED,
            TRAINED,
            *PUBLISHED,
            *(_VARIABLE + name for name in names),
        )

    def _variables(self) -> list[str]:
        return _models_in(self._shell.user_ns) if self._shell is not None else []

    def _live_model(self, source: str) -> Callable[[], RetinaModel]:
        name = source.removeprefix(_VARIABLE).strip()
        variables = self._shell.user_ns if self._shell is not None else {}

        def live() -> RetinaModel:
            if name not in variables:
                raise ValueError(f"source: the notebook has no variable {name!r}")
            value = variables[name]
            if not isinstance(value, torch.nn.Module):
                raise TypeError(
                    f"source: the variable {name!r} holds no model, but {type(value).__name__}"
                )
            return as_retina_model(value)

        return live

    def _show_progress(self, source: str, progress: Progress | None) -> None:
        if progress is None or self.job is None or self.job.done():
            return
        done, total = progress.done / 1e6, progress.total / 1e6
        words = html.escape(f"Fetching {source}: {done:.1f} of {total:.1f} MB")
        self._card.value = (
            f'<div class="orw-note" role="status" style="line-height:1.45">{words}<br>'
            f'<progress max="{progress.total}" value="{progress.done}"></progress></div>'
        )

    def _say(self, text: str, *, failed: bool = False) -> None:
        kind, role = ("orw-error", "alert") if failed else ("orw-note", "status")
        # The style sheet of the panels comes with the run's status, which a loader alone lacks.
        style = "line-height:1.45;overflow-wrap:anywhere"
        if failed:
            style += ";color:var(--jp-error-color1,#d32f2f);font-weight:600"
        self._card.value = (
            f'<div class="{kind}" role="{role}" style="{style}">{html.escape(text)}</div>'
        )


def model_card(model: RetinaModel) -> str:
    """Return what a model is, as HTML in which everything from the model is escaped.

    The main facts, and the whole card below them, folded.
    """
    card = model.card
    _, height, width = card.input_shape
    size = card.pixel_size_um
    pixel = f"{size:g} µm a pixel" if size else "pixel size not known"
    facts = [
        f"{counted(card.n_neurons, 'neuron')} in {counted(len(card.sessions), 'session')}",
        f"{' + '.join(card.channels)}, {height} × {width} pixels, {pixel}",
        f"{card.frame_rate:g} Hz, lag {counted(card.lag, 'frame')} ({card.lag_ms:.0f} ms)",
        f"parameters: {card.parameter_words}, weights {card.weight_hash}",
    ]
    head = f"<b>{html.escape(printable(card.name))}</b> · {html.escape(printable(card.source))}"
    description = f"<br>{html.escape(printable(card.description))}" if card.description else ""
    return (
        f"{head}{description}<br>{html.escape(printable(' · '.join(facts)))}"
        '<details><summary style="cursor:pointer">The whole card</summary>'
        f"{card.html()}</details>"
    )


def _models_in(variables: dict[str, Any]) -> list[str]:
    return sorted(
        name
        for name, value in list(variables.items())
        if isinstance(value, torch.nn.Module) and not name.startswith("_")
    )


def _devices() -> list[tuple[str, str]]:
    """Return each device with its free memory, and its name for torch."""
    free = _free_memory()
    devices = [("cpu" if free is None else f"cpu, {free / 2**30:.1f} GiB free", "cpu")]
    for index in range(torch.cuda.device_count()):
        free, _ = torch.cuda.mem_get_info(index)
        devices.append((f"cuda:{index}, {free / 2**30:.1f} GiB free", f"cuda:{index}"))
    return devices


def _listed(device: str) -> str:
    """Return a device as `_devices` names it: ``"cuda"`` is the current one."""
    target = check_device(device)
    if target.type == "cuda" and target.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return "cpu" if target.type == "cpu" else str(target)


def _free_memory() -> int | None:
    """Return the bytes that programs can still have, where the system says so (Linux)."""
    return int(free_memory()) if os.path.exists("/proc/meminfo") else None
