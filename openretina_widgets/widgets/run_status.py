"""One line that says how a run is going, in figures and in words."""

from __future__ import annotations

from typing import Literal

import anywidget
import traitlets

from openretina_widgets.widgets.canvas_widget import static_text

Kind = Literal["idle", "running", "paused", "finished", "failed"]


class RunStatus(anywidget.AnyWidget):
    """Progress bar, figures and a message; errors stand out and are read aloud.

    Attributes
    ----------
    kind
        What the run is doing; it decides the colour of the bar.
    progress
        Share of the most iterations that are allowed, 0 to 1.
    figures
        Pairs of label and value, such as ``("iteration", "12 of 200")``.
    message
        A sentence for the user, shown as text: markup in it is not interpreted.
    """

    _esm = static_text("run_status.js")
    _css = static_text("run_status.css")

    kind = traitlets.Enum(("idle", "running", "paused", "finished", "failed"), "idle").tag(
        sync=True
    )
    progress = traitlets.Float(0.0).tag(sync=True)
    figures = traitlets.List(trait=traitlets.List()).tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)

    def tell(
        self,
        kind: Kind,
        message: str,
        *,
        progress: float | None = None,
        figures: list[tuple[str, str]] | None = None,
    ) -> None:
        """Change everything in one message; None leaves a part as it is."""
        with self.hold_sync():
            self.kind, self.message = kind, message
            if progress is not None:
                self.progress = min(1.0, max(0.0, progress))
            if figures is not None:
                self.figures = [list(pair) for pair in figures]


def as_time(seconds: float | None) -> str:
    """Return a duration to read: ``"8.2 s"``, ``"3 min 05 s"``; a dash for None."""
    if seconds is None or seconds != seconds:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )
