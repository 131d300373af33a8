"""What the panels share whose run computes all neurons of the session that a selection looks at."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, ClassVar

from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.jobs import Job
from openretina_widgets.jobs.worker import ResultT, SnapshotT
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.run_panel import RunPanel
from openretina_widgets.widgets.run_status import as_time
from openretina_widgets.widgets.selection import Selection

_RATE_HZ = 10.0  # most pictures a second
_SHARED = ["model", "data_key", "neurons"]


class SelectionRun(RunPanel[SnapshotT, ResultT]):
    """A run of the selection's model, of which other neurons are chosen without a new one.

    What runs builds its steps in `start` and hands them to `_launch`; it has `_show` for a
    snapshot, and `_selection_changed` for a change of the selection once `_follow_selection` was
    called.

    Attributes
    ----------
    selection : Selection
        Model, session and neurons.
    """

    selection: Selection
    _counted: ClassVar[str]  # what a run counts, as "movies"

    @property
    def model(self) -> RetinaModel:
        """The model of the selection; setting another one chooses its first neuron."""
        return self.selection.model

    @model.setter
    def model(self, model: RetinaModel | Any) -> None:
        self.selection.show_model(model)

    def close(self) -> None:
        """End the run and close the widget; a selection that is shared stays."""
        if self.comm is not None:
            self.selection.unobserve(self._selection_changed, _SHARED)
            self._close_others()
        super().close()

    def _follow_selection(self) -> None:
        self.selection.observe(self._selection_changed, _SHARED)

    def _selection_changed(self, change: Any) -> None:
        raise NotImplementedError

    def _close_others(self) -> None:
        """Close what listens to the selection as well."""
        raise NotImplementedError

    def _show(self, snapshot: SnapshotT) -> None:
        raise NotImplementedError

    def _launch(
        self,
        steps: Callable[[], Generator[Any, Any, ResultT]],
        *,
        snapshot: Callable[[Any], SnapshotT],
        name: str,
        doing: str,
        paused: bool,
    ) -> Job[SnapshotT, ResultT]:
        """Start the job that runs the steps, and say so."""
        self.job = job = Job(
            steps,
            snapshot=snapshot,
            on_update=self._show,
            on_done=self._ended,
            rate_hz=_RATE_HZ,
            name=name,
            context=partial(torch_threads, live_threads()),
        )
        self._doing = doing
        self._status.tell("running", doing, progress=0.0, figures=self._figures(0, 0))
        self._buttons.show("paused" if paused else "running")
        return job.start(paused=paused)

    def _say_idle(self, hint: str) -> None:
        """Show that nothing runs, and what to do."""
        self._buttons.show("idle")
        self._status.tell("idle", hint, progress=0.0, figures=self._figures(0, 0))

    def _figures(self, done: int, total: int) -> list[tuple[str, str]]:
        elapsed = self.job.elapsed if self.job is not None else 0.0
        rate = done / elapsed if elapsed > 0 else 0.0
        left = (total - done) / rate if rate > 0 else None
        return [
            (self._counted, f"{done:,} of {total:,}" if total else "–"),
            ("rate", self._rate_in_words(rate, total)),
            ("elapsed", as_time(elapsed)),
            ("remaining", as_time(left)),
        ]

    def _rate_in_words(self, rate: float, total: int) -> str:
        if rate <= 0:
            return "–"
        return f"{rate:,.0f} /s" if rate >= 100 else f"{rate:.3g} /s"
