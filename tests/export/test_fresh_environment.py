"""An exported notebook, executed in another environment: the wheel, and not this source tree."""

from __future__ import annotations

from benchmarks.take_home import (
    borrowing_environment,
    build_wheel,
    differences,
    executed_by,
    measured,
)


def test_the_wheel_in_another_environment_gives_the_same_numbers(tmp_path):
    wheel = build_wheel(tmp_path / "dist")
    python = borrowing_environment(tmp_path / "environment", wheel)
    then = measured(neurons=2)
    found = differences(then, executed_by(python, then, tmp_path))
    assert len(found) > 15
    assert not [f"{what}: {far}" for what, (far, close) in found.items() if not close]
