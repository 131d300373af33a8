"""A wall of receptive fields: every neuron's image on one canvas, to scroll and choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from numpy.typing import NDArray

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.field_content import Images, as_images, encode_images, listing
from openretina_widgets.errors import check_positive
from openretina_widgets.widgets.canvas_widget import LiveCanvas, static_text


class FieldWall(LiveCanvas):
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

    _esm = static_text("canvas.js", "live_canvas.js", "field_wall.js")
    _css = static_text("field_wall.css")

    selected: tuple[int, ...] = traitlets.Tuple().tag(sync=True)  # type: ignore[assignment]
    scale = traitlets.Enum(["each", "common"], "each").tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    pixel_size_um = traitlets.Float(None, allow_none=True).tag(sync=True)
    height = traitlets.Float(420.0).tag(sync=True)
    tile = traitlets.Float(96.0).tag(sync=True)
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
        self._told = -1  # the version that every page has, or is on its way
        self._pixels: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._limits: list[float] = []
        self._changed = np.empty(0, bool)  # images that no page has yet
        self._listing: dict[str, Any] = {}
        self._version = 0
        self._encoding: dict[str, Any] = {}
        self._take(images, neurons, labels, notes, panels)
        super().__init__(
            scale=scale,
            unit=unit,
            pixel_size_um=pixel_size_um,
            title=title,
            height=height,
            tile=tile,
            placeholder=placeholder,
            layout=layout,
        )
        self.selected = tuple(selected)
        if scale == "common":  # which was not known before
            self._encode()
        self.flush()

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
        return np.array(self._limits)

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
        with self.hold_sync():
            self.flush()
            self.selected = tuple(index for index in self.selected if index in self.neurons)

    def show_live(self, images: Any) -> None:
        """Show newer images of the same neurons: soon, or else replaced by still newer ones.

        Those that changed are sent, and no others. Pictures do not pile up on their way (see
        transport.py). Call it on the main thread; at the end of a run call `flush`, or `show`.

        Raises
        ------
        ValueError
            If their shape is not that of the images shown.
        """
        array = as_images(images)
        if self._images is None or array.shape != self._images.shape:
            expected = None if self._images is None else self._images.shape
            raise ValueError(f"images: expected the shape {expected}, got {array.shape}")
        # Bit by bit: what is not finite is no change either.
        changed = (array.view(np.int32) != self._images.view(np.int32)).any(axis=(1, 2, 3))
        if not changed.any():
            return
        self._images, self._version = array, self._version + 1
        self._encode(changed)
        self._send_soon()

    def flush(self) -> None:
        """Make the newest images the widget's state: every view draws them, whatever waits."""
        super().flush()
        self._told, self._whole = self._version, False
        self._changed[:] = False

    def clear(self) -> None:
        """Take all images away."""
        self.show(None)

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
            self._encode()
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
        self._encode()

    def _encode(self, changed: np.ndarray | None = None) -> None:
        """Bring pixels and limits up to the images; all of them where None changed alone."""
        images = self._images
        if images is None:
            self._pixels, self._limits = np.empty(0, np.uint8), []
            self._changed = np.empty(0, bool)
            return
        if changed is None or self.scale == "common" or len(self._pixels) != len(images):
            frames, self._limits = encode_images(images, self.scale)
            self._pixels = np.frombuffer(frames, np.uint8).reshape(images.shape).copy()
            self._changed = np.ones(len(images), bool)
            return
        frames, limits = encode_images(images[changed], self.scale)
        self._pixels[changed] = np.frombuffer(frames, np.uint8).reshape(-1, *images.shape[1:])
        for place, limit in zip(np.flatnonzero(changed).tolist(), limits, strict=True):
            self._limits[place] = limit
        self._changed |= changed

    def _picture(self) -> tuple[dict[str, Any], bytes]:
        """Return the images that changed since the last one that was sent, or all of them."""
        base, self._told = self._told, self._version
        places = np.flatnonzero(self._changed)
        whole = self._whole or len(places) == len(self._changed)
        self._changed[:] = self._whole = False
        if whole:
            return super()._picture()
        told = {
            "version": self._version,
            "base": base,
            "places": places.tolist(),
            "limits": [self._limits[place] for place in places.tolist()],
        }
        return told, self._pixels[places].tobytes()

    def _live(self, content: dict[str, Any]) -> dict[str, Any]:
        return {name: content[name] for name in ("version", "limits")}

    def _is_newest(self, version: Any) -> bool:
        return version == self._version or self._images is None

    def _encoded(self) -> dict[str, Any]:
        """What the browser needs to draw the newest images; made once a version."""
        if self._encoding.get("version") != self._version:
            self._encoding = {
                "version": self._version,
                **self._listing,
                "limits": list(self._limits),
                "frames": self._pixels.tobytes(),
            }
        return self._encoding
