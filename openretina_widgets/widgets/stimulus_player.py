"""A movie player for stimuli: any (channel, time, height, width) array, still or live."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import traitlets
from numpy.typing import NDArray

from openretina_widgets.drawing import movie
from openretina_widgets.drawing.colour import Limits
from openretina_widgets.errors import check_positive
from openretina_widgets.widgets.canvas_widget import LiveCanvas, static_text

if TYPE_CHECKING:
    from openretina_widgets.insilico.shown_stimulus import ShownStimulus


class StimulusPlayer(LiveCanvas):
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

    _esm = static_text("canvas.js", "live_canvas.js", "stimulus_player.js")
    _css = static_text("stimulus_player.css")

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
            layout=layout,
        )

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
    def exported(self) -> ShownStimulus:
        """What is saved: the stimulus as it was handed in, which no code can make again.

        Raises
        ------
        RuntimeError
            If there is none yet.
        """
        import torch  # a player alone does not need it

        from openretina_widgets.insilico import provenance
        from openretina_widgets.insilico.shown_stimulus import ShownStimulus

        stimulus = self.stimulus
        if stimulus is None:
            raise RuntimeError("there is no stimulus to save yet; set player.stimulus first")
        return ShownStimulus(
            title=self.title or "Stimulus",
            stimulus=torch.from_numpy(stimulus.copy()),
            frame_rate=self.frame_rate,
            pixel_size_um=self.pixel_size_um,
            channels=self.channels,
            unit=self.unit,
            versions=provenance.versions(),
        )

    def export(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, **settings: Any
    ) -> Path:
        """Save the stimulus in the format that the suffix of the path names.

        Parameters
        ----------
        path
            Ends in ``.html`` (a page that opens offline), ``.png``, ``.svg``, ``.gif``, ``.mp4``,
            ``.npz`` or ``.zip``. A notebook cannot make again what was handed in.
        overwrite
            Whether a file that is there may be replaced.
        **settings
            See `openretina_widgets.export.save`. A movie has the player's `limits`.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        RuntimeError
            If there is no stimulus yet.
        TypeError, ValueError, OSError, ImportError
            If it cannot be written; the message says why.
        """
        from openretina_widgets.export import save

        if str(path).lower().endswith((".gif", ".mp4")) and self._limits:
            settings = {"limits": self._limits, **settings}
        return save(self.exported, path, overwrite=overwrite, **settings)

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
        self._send_soon()

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

    def _live(self, content: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in content.items() if name != "frames"}

    def _is_newest(self, version: Any) -> bool:
        return bool(version == self._newest[0])

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
