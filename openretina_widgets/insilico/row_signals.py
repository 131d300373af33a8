"""A picture of what goes on inside a direction-selective neuron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from openretina_widgets.errors import check_positive
from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.models.direction_circuit import RowSignals

__all__ = ["plot_row_signals"]

# Of Okabe and Ito (2008): told apart by colour-blind readers as well.
_COLOURS = {"excitation": "#0072b2", "help": "#009e73", "veto": "#d55e00"}
_STYLES = {"excitation": "-", "help": "--", "veto": "-"}


def plot_row_signals(
    signals: Mapping[str, RowSignals],
    *,
    frame_rate: float,
    start_s: float = 0.0,
    marks_s: Sequence[float] = (),
) -> Any:
    """Draw the signals of rows, one column a row of subunits; return the figure.

    Each line of pictures is a subunit, in the order in which motion in the preferred direction
    meets them, from the top. The veto is drawn downwards, since it works against the others. What
    the subunit passes on is filled.

    Needs matplotlib, the ``plot`` extra.

    Parameters
    ----------
    signals
        What to write above a column, and `RowSignals`; of a batch the first is drawn.
    frame_rate
        Frames per second (Hz).
    start_s
        Time of the first frame of the response (s).
    marks_s
        Times at which a dotted line is drawn through all pictures (s), such as when an edge
        reaches the middle.

    Raises
    ------
    ValueError
        If there is nothing to draw, the columns have different subunits, or the rate is not
        positive.
    TypeError
        If they are no `RowSignals`.
    ImportError
        If matplotlib is not installed.
    """
    rate = check_positive(frame_rate, "frame_rate")
    rows = dict(signals)
    if not rows:
        raise ValueError("signals: expected at least one column, got none")
    for name, row in rows.items():
        if not isinstance(row, RowSignals):
            raise TypeError(
                f"signals: expected RowSignals, as of row_signals(), for {name!r}, got "
                f"{type(row).__name__}"
            )
    places = next(iter(rows.values())).positions_um.cpu()
    if any(not torch.equal(row.positions_um.cpu(), places) for row in rows.values()):
        raise ValueError("signals: expected rows with the same subunits")
    high = max(float((row.excitation[0] + row.help[0]).max()) for row in rows.values())
    low = max(float(row.veto[0].max()) for row in rows.values())
    figure = new_figure(max(8.0, 5.2 * len(rows)), 1.6 * len(places) + 1.4)
    axes = figure.subplots(len(places), len(rows), sharex=True, sharey=True, squeeze=False)
    for column, (name, row) in enumerate(rows.items()):
        axes[0, column].set_title(name, fontsize=16, fontweight="bold")
        seconds = start_s + torch.arange(row.excitation.shape[-1]) / rate
        for k, place in enumerate(places.tolist()):
            _draw(axes[k, column], seconds, row, k)
            for mark in marks_s:
                axes[k, column].axvline(mark, color="#222222", linestyle=":", linewidth=1.8)
            axes[k, column].set_ylim(-1.08 * max(low, 0.1), 1.08 * max(high, 0.1))
            axes[k, column].set_xlim(float(seconds[0]), float(seconds[-1]))
            if column == 0:
                where = f"{place:+.0f}".replace("-", "−") if place else "0"
                axes[k, column].set_ylabel(f"{where} µm", fontsize=15)
        axes[-1, column].set_xlabel("time (s)", fontsize=15)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=15, frameon=False)
    figure.supylabel("subunit along the preferred direction; signals without unit", fontsize=14)
    return figure


def _draw(axes: Any, seconds: torch.Tensor, row: RowSignals, k: int) -> None:
    """Draw one subunit."""
    passed = row.subunits[0, k].detach().cpu()
    axes.axhline(0.0, color="#888888", linewidth=0.8)
    axes.fill_between(seconds, 0.0, passed, color="#333333", alpha=0.45, label="passed on")
    for name, colour in _COLOURS.items():
        signal = getattr(row, name)[0, k].detach().cpu() * (-1 if name == "veto" else 1)
        axes.plot(seconds, signal, _STYLES[name], color=colour, linewidth=2.5, label=name)
    axes.tick_params(labelsize=13)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
