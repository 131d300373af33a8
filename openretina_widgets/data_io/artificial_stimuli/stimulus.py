"""What every stimulus builder returns: the movie, and what happens when."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from openretina_widgets.data_io.artificial_stimuli.screen import Screen


@dataclass(frozen=True)
class StimulusEvent:
    """Something that happens in a stimulus.

    Attributes
    ----------
    what
        In words, such as ``"ON step"``.
    start, stop
        First frame, and the frame after the last.
    """

    what: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class ArtificialStimulus:
    """A generated stimulus.

    Attributes
    ----------
    name
        What it is, in words.
    movie
        ``(channel, time, height, width)``, float32, in model units.
    screen
        What it was made for.
    events
        What happens when.
    window
        First frame, and the frame after the last, over which a response to it is averaged. The
        response to frame `t` is the model's output ``t - lag``.
    parameters
        Every parameter, with its unit at the end of its name.
    notes
        What a reader has to know, such as a grating that does not complete a cycle.
    onset
        Frame at which what is shown begins, after the lead-in.
    """

    name: str
    movie: torch.Tensor
    screen: Screen
    events: tuple[StimulusEvent, ...]
    window: tuple[int, int]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    onset: int = 0

    def __len__(self) -> int:
        """Return the number of frames."""
        return int(self.movie.shape[1])

    @property
    def batch(self) -> torch.Tensor:
        """The movie as a batch of one: ``(1, channel, time, height, width)``."""
        return self.movie[None]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.screen.seconds(len(self))

    @property
    def response_window(self) -> tuple[int, int]:
        """`window` in frames of the response of a model with the screen's lag."""
        return max(0, self.window[0] - self.screen.lag), max(0, self.window[1] - self.screen.lag)

    def table(self) -> list[dict[str, Any]]:
        """Return what happens when, one row an event: words, frames and seconds."""
        return [
            {
                "what": event.what,
                "start_frame": event.start,
                "stop_frame": event.stop,
                "start_s": self.screen.seconds(event.start),
                "stop_s": self.screen.seconds(event.stop),
            }
            for event in self.events
        ]

    def __repr__(self) -> str:
        shape = tuple(self.movie.shape)
        return f"ArtificialStimulus({self.name!r}, {shape}, {self.duration_s:.2f} s)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{row['start_s']:.2f} – {row['stop_s']:.2f} s</td>"
            f"<td>{html.escape(row['what'])}</td></tr>"
            for row in self.table()
        )
        notes = "".join(f"<br>{html.escape(note)}" for note in self.notes)
        return (
            f"<b>{html.escape(self.name)}</b>, {self.duration_s:.2f} s{notes}<table>{rows}</table>"
        )
