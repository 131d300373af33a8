"""A movie player for stimuli: any (channel, time, height, width) array, still or live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
from numpy.typing import NDArray

from openretina_widgets.drawing import movie
from openretina_widgets.drawing.colour import Limits
from openretina_widgets.errors import check_positive
from openretina_widgets.widgets.transport import FrameWindow, MainLoop, TransportStats


def _text(name: str) -> str:
    return (Path(__file__).parent / "static" / name).read_text(encoding="utf-8")


class StimulusPlayer(anywidget.AnyWidget):
    """Play a stimulus: one panel a channel and, for two channels, the mixture of their light.

    Play, pause, scrub, speed, loop and contrast are local to the browser; space plays, the arrow
    keys step, Home and End jump. Values are drawn blue - white - red, and zero is exactly white.
    Values that are not finite are drawn as a grey hatch; a note under the colour bar counts them.

    Parameters
    ----------
    stimulus
        (channel, time, height, width), or the same with a leading batch of 1; numpy, torch or
        nested lists, real numbers. None: an empty player that says what to do next.
    channels
        Their names. None: "luminance" for one, "green" and "UV" for two, else "channel 0", ...
    frame_rate
        Frames per second (Hz).
    pixel_size_um
        Edge of a pixel on the retina in µm; None if unknown: the scale bar then counts pixels.
    limits
        Ends of the colour scale in `unit`: `a` or (low, high) for all channels, or one (low, high)
        a channel. None: from the data, one scale for all channels, rounded up. A diverging scale
        is always symmetric: (low, high) becomes plus and minus the larger magnitude.
    unit
        Unit of the values, shown at the colour bar.
    title
        Heading; none when empty.
    colour_map
        "diverging" (zero is white, and means something) or "sequential" (unsigned quantities).
    panels
        "all", "channels" (without the mixture) or "combined" (the mixture alone; two channels).
    height
        Greatest height of a panel in CSS pixels; the picture takes the largest whole number of
        CSS pixels a stimulus pixel that fits.
    scale
        CSS pixels a stimulus pixel; overrules `height`.
    controls
        Whether the controls are shown. A stimulus of one frame has no playback controls.
    autoplay, loop
        Whether a view plays as soon as it has frames; whether playback starts over at the end.
    shape
        Shape of the stimulus to come, so that nothing moves when it arrives.
    placeholder
        What an empty player says.
    layout
        An ipywidgets layout.

    Raises
    ------
    TypeError, ValueError
        For a stimulus that is no such array, or an argument out of range; the message names it.
    """

    # Texts, not paths: anywidget watches a path for changes and keeps every widget alive for it.
    _esm = _text("canvas.js") + _text("stimulus_player.js")
    _css = _text("stimulus_player.css")

    title = traitlets.Unicode("").tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    frame_rate = traitlets.Float(30.0).tag(sync=True)
    pixel_size_um = traitlets.Float(None, allow_none=True).tag(sync=True)
    height = traitlets.Float(220.0).tag(sync=True)
    scale = traitlets.Float(None, allow_none=True).tag(sync=True)
    panels = traitlets.Enum(["all", "channels", "combined"], "all").tag(sync=True)
    controls = traitlets.Bool(True).tag(sync=True)
    autoplay = traitlets.Bool(False).tag(sync=True)
    loop = traitlets.Bool(True).tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    # The newest content, for a view that opens: one trait, so that frames and shape arrive as one.
    _content = traitlets.Dict().tag(sync=True)
    _colours = traitlets.Dict().tag(sync=True)  # the look-up tables

    def __init__(
        self,
        stimulus: Any = None,
        *,
        channels: Sequence[str] | None = None,
        frame_rate: float = 30.0,
        pixel_size_um: float | None = None,
        limits: float | Sequence[Any] | None = None,
        unit: str = "model units",
        title: str = "",
        colour_map: str = "diverging",
        panels: str = "all",
        height: float = 220.0,
        scale: float | None = None,
        controls: bool = True,
        autoplay: bool = False,
        loop: bool = True,
        shape: Sequence[int] | None = None,
        placeholder: str = "No stimulus yet: set player.stimulus to an array of shape "
        "(channel, time, height, width).",
        layout: ipywidgets.Layout | dict[str, str] | None = None,
    ) -> None:
        if colour_map not in movie.COLOUR_MAPS:
            raise ValueError(
                f"colour_map must be one of {[*movie.COLOUR_MAPS]}, got {colour_map!r}"
            )
        self._colour_map = colour_map
        self._channels = movie.checked_channels(channels)
        self._limits = movie.checked_limits(limits, symmetric=colour_map == "diverging")
        size = movie.checked_shape(shape) or (len(self._channels) or 1, 0, 0, 0)
        # Version, shape and stimulus change as one: a page may ask for them on another thread.
        self._newest: tuple[int, tuple[int, ...], NDArray[np.float32] | None] = (0, size, None)
        self._encoding: dict[str, Any] = {}
        self._due = False  # a live stimulus waits to be sent
        self._window, self._main_loop = FrameWindow(), MainLoop()
        self._owns_layout = not isinstance(layout, ipywidgets.Layout)
        if stimulus is not None:
            self._take(stimulus)
        super().__init__(
            title=title,
            unit=unit,
            frame_rate=frame_rate,
            pixel_size_um=pixel_size_um,
            height=height,
            scale=scale,
            panels=panels,
            controls=controls,
            autoplay=autoplay,
            loop=loop,
            placeholder=placeholder,
            _content=self._encoded(),
            _colours=movie.look_up_tables(colour_map),
            **({} if layout is None else {"layout": layout}),
        )
        self.on_msg(self._on_message)

    @property
    def stimulus(self) -> NDArray[np.float32] | None:
        """The newest stimulus, set or shown: a read-only copy (channel, time, height, width)."""
        return self._newest[2]

    @stimulus.setter
    def stimulus(self, stimulus: Any) -> None:
        if stimulus is None:
            self.clear()
        else:
            self._take(stimulus)
            self.flush()

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self._channels or movie.channel_names(self._newest[1][0])

    @property
    def limits(self) -> tuple[Limits, ...]:
        """Ends of the colour scale of each channel, as shown; set it as in the constructor."""
        return tuple((low, high) for low, high in self._encoded()["limits"])

    @limits.setter
    def limits(self, limits: float | Sequence[Any] | None) -> None:
        checked = movie.checked_limits(limits, symmetric=self._colour_map == "diverging")
        _, shape, stimulus = self._newest
        movie.check_channel_counts(shape[0], channels=(), limits=checked)
        self._limits = checked
        self._renew(shape, stimulus)
        self.flush()

    @property
    def ready(self) -> bool:
        """Whether a live picture may be sent now: ask before making one for `show`."""
        return self._window.ready

    @property
    def stats(self) -> TransportStats:
        """Counters of the live route."""
        return self._window.stats

    def show(self, stimulus: Any) -> None:
        """Show a live stimulus: drawn soon if the browser keeps up, else replaced by a newer one.

        Pictures do not pile up on their way: the newest waits, and follows when the browser has
        said what it has painted (see transport.py). Playback goes on at the frame where it is. Call
        it on the main thread; at the end of a run call `flush`, or set `stimulus`.

        Parameters
        ----------
        stimulus
            As for the constructor; copied, so it may be changed afterwards.
        """
        self._take(stimulus)
        if self._due:
            self._window.count_skipped()
        self._due = True
        self._deliver()

    def flush(self) -> None:
        """Make the newest stimulus the widget's state: every view draws it, whatever waits.

        It is then also what a saved notebook keeps. Without a newer one it does nothing.
        """
        self._due = False
        self._content = self._encoded()

    def clear(
        self, *, shape: Sequence[int] | None = None, channels: Sequence[str] | None = None
    ) -> None:
        """Empty the player; it keeps its size, or takes that of the stimulus to come.

        Parameters
        ----------
        shape, channels
            As for the constructor; None keeps what is.
        """
        names = self._channels if channels is None else movie.checked_channels(channels)
        _, now, _ = self._newest
        size = movie.checked_shape(shape) or (len(names) or now[0], *now[1:])
        movie.check_channel_counts(size[0], channels=names, limits=self._limits)
        self._channels = names
        self._renew(size, None)
        self.flush()

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

    @traitlets.validate("frame_rate", "pixel_size_um", "height", "scale")
    def _positive(self, proposal: Any) -> float | None:
        value, name = proposal["value"], proposal["trait"].name
        return None if value is None else check_positive(value, name)

    def _take(self, stimulus: Any) -> None:
        array = movie.as_movie(stimulus)
        movie.check_channel_counts(len(array), channels=self._channels, limits=self._limits)
        self._renew(array.shape, array)

    def _renew(self, shape: tuple[int, ...], stimulus: NDArray[np.float32] | None) -> None:
        self._newest = (self._newest[0] + 1, shape, stimulus)

    def _deliver(self) -> None:
        """Send the live stimulus that waits, if the browser keeps up."""
        if not (self._due and self._window.ready):
            return
        self._due = False
        content = dict(self._encoded())
        frames = content.pop("frames")
        number, ask = self._window.count_sent(len(frames))
        self.send({"event": "frames", "frame": number, "ask": ask, **content}, buffers=[frames])

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        """Hear the browser; on any thread, so what there is to send is left to the main loop."""
        event = self._window.hear(content)
        if event == "open" and content.get("version") != self._newest[0]:
            self._due = True  # the page missed the newest while it loaded
        if event and self._due:
            self._main_loop.call(self._deliver)

    def _encoded(self) -> dict[str, Any]:
        """What the browser needs to draw the newest stimulus; made once a stimulus."""
        version, shape, stimulus = self._newest
        encoding = self._encoding
        if encoding.get("version") != version:
            names = self._channels or movie.channel_names(shape[0])
            encoding = movie.encode_movie(
                stimulus, shape, channels=names, limits=self._limits, colour_map=self._colour_map
            )
            self._encoding = encoding = {"version": version, **encoding}
        return encoding
