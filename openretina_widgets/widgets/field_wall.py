"""A wall of receptive fields: every neuron's image on one canvas, to scroll and choose from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
from numpy.typing import NDArray

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.field_content import Images, as_images, encode_images, listing
from openretina_widgets.errors import check_positive
from openretina_widgets.widgets.transport import FrameWindow, MainLoop, TransportStats


def _text(name: str) -> str:
    return (Path(__file__).parent / "static" / name).read_text(encoding="utf-8")


class FieldWall(anywidget.AnyWidget):
    """Small signed images side by side, blue - white - red; zero is exactly white.

    Only what is in view is painted, so that thousands scroll smoothly. A click chooses, with shift
    or ctrl it adds; arrows, page keys, Home and End move the choice.

    Parameters
    ----------
    images
        ``(neuron, height, width)``, or ``(neuron, panel, height, width)`` for panels side by side,
        such as the channels. Values that are not finite are drawn as a grey hatch. None: empty.
    neurons
        Number of each; 0, 1, ... for None.
    labels
        What is written under each; its number for None.
    notes
        What is said of each when the pointer is on it.
    panels
        Name of each panel, for several.
    selected
        Neurons that are chosen, the first of them leading.
    scale
        ``"each"``: each neuron has its own symmetric limits; ``"common"``: all have the same.
    unit
        Unit of the values.
    pixel_size_um
        Size of a pixel on the retina (µm); None where it is not known.
    title
        Heading.
    height
        Height of the part that scrolls, in CSS pixels.
    tile
        Width of an image in CSS pixels, about: a pixel takes a whole number of them where it can.
    placeholder
        What an empty wall says.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    selected : tuple of int
        May be observed and set; `traitlets.TraitError` for a neuron that is not on the wall.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """

    # Texts, not paths: anywidget watches a path for changes and keeps every widget alive for it.
    _esm = _text("canvas.js") + _text("field_wall.js")
    _css = _text("field_wall.css")

    selected: tuple[int, ...] = traitlets.Tuple().tag(sync=True)  # type: ignore[assignment]
    scale = traitlets.Enum(["each", "common"], "each").tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    pixel_size_um = traitlets.Float(None, allow_none=True).tag(sync=True)
    height = traitlets.Float(420.0).tag(sync=True)
    tile = traitlets.Float(96.0).tag(sync=True)
    # The newest content, for a view that opens: one trait, so that its parts arrive as one.
    _content = traitlets.Dict().tag(sync=True)
    _colours = traitlets.Bytes(colour.DIVERGING.tobytes()).tag(sync=True)

    def __init__(
        self,
        images: Any = None,
        *,
        neurons: Sequence[int] | None = None,
        labels: Sequence[str] | None = None,
        notes: Sequence[str] | None = None,
        panels: Sequence[str] = (),
        selected: Sequence[int] = (),
        scale: str = "each",
        unit: str = "",
        pixel_size_um: float | None = None,
        title: str = "",
        height: float = 420.0,
        tile: float = 96.0,
        placeholder: str = "No images yet.",
        layout: ipywidgets.Layout | dict[str, str] | None = None,
    ) -> None:
        self._images: Images | None = None
        self._listing: dict[str, Any] = {}
        self._version, self._due = 0, False
        self._encoding: dict[str, Any] = {}
        self._window, self._main_loop = FrameWindow(), MainLoop()
        self._owns_layout = not isinstance(layout, ipywidgets.Layout)
        self._take(images, neurons, labels, notes, panels)
        super().__init__(
            scale=scale,
            unit=unit,
            pixel_size_um=pixel_size_um,
            title=title,
            height=height,
            tile=tile,
            placeholder=placeholder,
            **({} if layout is None else {"layout": layout}),
        )
        self.selected = tuple(selected)
        self._content = self._encoded()
        self.on_msg(self._on_message)

    @property
    def images(self) -> Images | None:
        """What is shown: ``(neuron, panel, height, width)``, read-only; None for an empty wall."""
        return self._images

    @property
    def neurons(self) -> tuple[int, ...]:
        """Number of each image."""
        return tuple(self._listing["neurons"])

    @property
    def limits(self) -> NDArray[np.float64]:
        """``(neuron,)``: the value of each neuron in the full colour; 0 where nothing is known."""
        return np.array(self._encoded()["limits"])

    @property
    def ready(self) -> bool:
        """Whether live images may be sent now: ask before making some for `show_live`."""
        return self._window.ready

    @property
    def stats(self) -> TransportStats:
        """Counters of the live route."""
        return self._window.stats

    def show(
        self,
        images: Any,
        *,
        neurons: Sequence[int] | None = None,
        labels: Sequence[str] | None = None,
        notes: Sequence[str] | None = None,
        panels: Sequence[str] = (),
    ) -> None:
        """Show other images; parameters as for the constructor.

        A chosen neuron stays chosen if it is among them.
        """
        self._take(images, neurons, labels, notes, panels)
        self._due = False
        with self.hold_sync():
            self._content = self._encoded()
            self.selected = tuple(index for index in self.selected if index in self.neurons)

    def show_live(self, images: Any) -> None:
        """Show newer images of the same neurons: soon, or else replaced by still newer ones.

        Pictures do not pile up on their way (see transport.py). Call it on the main thread; at the
        end of a run call `flush`, or `show`.

        Raises
        ------
        ValueError
            If their shape is not that of the images shown.
        """
        array = as_images(images)
        if self._images is None or array.shape != self._images.shape:
            expected = None if self._images is None else self._images.shape
            raise ValueError(f"images: expected the shape {expected}, got {array.shape}")
        self._images, self._version = array, self._version + 1
        if self._due:
            self._window.count_skipped()
        self._due = True
        self._deliver()

    def flush(self) -> None:
        """Make the newest images the widget's state: every view draws them."""
        self._due = False
        self._content = self._encoded()

    def clear(self) -> None:
        """Take all images away."""
        self.show(None)

    def close(self) -> None:
        """Close the widget, and the layout that was made for it."""
        if self.comm is None:
            return
        layout = self.layout
        super().close()
        self._window.forget_views()
        if self._owns_layout:
            layout.close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """State for the browser; the content in it is always the newest, live or not."""
        state: dict[str, Any] = super().get_state(key=key, drop_defaults=drop_defaults)
        if key is None or "_content" in state:
            state["_content"] = self._encoded()
        return state

    @traitlets.validate("selected")
    def _on_the_wall(self, proposal: Any) -> tuple[int, ...]:
        chosen = tuple(dict.fromkeys(int(index) for index in proposal["value"]))
        if unknown := set(chosen) - set(self._listing["neurons"]):
            raise traitlets.TraitError(f"selected: no neuron {min(unknown)} is on the wall")
        return chosen

    @traitlets.validate("height", "tile", "pixel_size_um")
    def _positive(self, proposal: Any) -> float | None:
        value, name = proposal["value"], proposal["trait"].name
        return None if value is None else check_positive(value, name)

    @traitlets.observe("scale")
    def _rescale(self, change: Any) -> None:
        if "limits" in self._encoding:  # not while the widget is built
            self._version += 1
            self.flush()

    def _take(
        self,
        images: Any,
        neurons: Sequence[int] | None,
        labels: Sequence[str] | None,
        notes: Sequence[str] | None,
        panels: Sequence[str],
    ) -> None:
        array = None if images is None else as_images(images)
        self._listing = listing(array, neurons, labels, notes, panels)
        self._images, self._version = array, self._version + 1

    def _deliver(self) -> None:
        """Send the live images that wait, if the browser keeps up."""
        if not (self._due and self._window.ready):
            return
        self._due = False
        content = self._encoded()
        frames = content["frames"]
        number, ask = self._window.count_sent(len(frames))
        live = {name: content[name] for name in ("version", "limits")}
        self.send({"event": "frames", "frame": number, "ask": ask, **live}, buffers=[frames])

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        """Hear the browser; on any thread, so what there is to send is left to the main loop."""
        event = self._window.hear(content)
        if event == "open" and content.get("version") != self._version and self._images is not None:
            self._due = True  # the page missed the newest while it loaded
        if event and self._due:
            self._main_loop.call(self._deliver)

    def _encoded(self) -> dict[str, Any]:
        """What the browser needs to draw the newest images; made once a version."""
        if self._encoding.get("version") != self._version:
            images = self._images
            frames, limits = (b"", []) if images is None else encode_images(images, self.scale)
            self._encoding = {
                "version": self._version,
                **self._listing,
                "limits": limits,
                "frames": frames,
            }
        return self._encoding
