"""The picture of what goes on inside a direction-selective neuron."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.row_signals import plot_row_signals
from openretina_widgets.models.synthetic import load_synthetic

pytest.importorskip("matplotlib", reason="pictures need the plot extra")

MODEL = load_synthetic()


def rows(neuron=28, frames=50):
    generator = torch.Generator().manual_seed(0)
    movie = torch.randn(MODEL.stimulus_shape(frames), generator=generator)
    return MODEL.module.row_signals(movie, neuron=neuron)


def test_every_signal_of_every_subunit_is_drawn_in_seconds():
    signals = rows()
    figure = plot_row_signals(signals, frame_rate=30, start_s=0.5, marks_s=[0.7, 0.9])
    figure.savefig(io.BytesIO(), format="png")
    axes = np.array(figure.axes).reshape(5, 2)
    assert [axis.get_title() for axis in axes[0]] == ["ON", "OFF"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == [
        "−150 µm", "−75 µm", "0 µm", "+75 µm", "+150 µm",
    ]  # fmt: skip
    assert {axis.get_xlabel() for axis in axes[-1]} == {"time (s)"}
    for column, row in enumerate(signals.values()):
        for k in range(5):
            lines = {line.get_label(): line for line in axes[k, column].lines}
            for name, sign in (("excitation", 1), ("help", 1), ("veto", -1)):
                drawn = lines[name].get_ydata()
                np.testing.assert_allclose(drawn, sign * getattr(row, name)[0, k].numpy())
                np.testing.assert_allclose(
                    lines[name].get_xdata(), 0.5 + np.arange(len(drawn)) / 30, rtol=1e-6
                )
            dotted = [line for line in axes[k, column].lines if line.get_linestyle() == ":"]
            assert [line.get_xdata()[0] for line in dotted] == [0.7, 0.9]
            low, high = axes[k, column].get_ylim()
            assert low < -float(row.veto[0].max())
            assert high > float((row.excitation + row.help)[0].max())


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="signals: expected at least one column, got none"):
        plot_row_signals({}, frame_rate=30)
    with pytest.raises(TypeError, match=r"expected RowSignals.*for 'up', got Tensor"):
        plot_row_signals({"up": torch.zeros(3)}, frame_rate=30)
    with pytest.raises(ValueError, match="frame_rate: expected a positive number, got 0"):
        plot_row_signals(rows(), frame_rate=0)
