"""Teaching: tutorials step by step, predictions before one looks, a class."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openretina_widgets.errors import TutorialError
    from openretina_widgets.tutorials.classroom import Classroom
    from openretina_widgets.tutorials.lesson_copies import copy_lessons
    from openretina_widgets.tutorials.notebook import Tutorial
    from openretina_widgets.tutorials.prediction import Prediction
    from openretina_widgets.tutorials.prediction_field import FieldPrediction
    from openretina_widgets.tutorials.stepper import TutorialStepper

_HOME = {
    "Classroom": "classroom",
    "FieldPrediction": "prediction_field",
    "Prediction": "prediction",
    "Tutorial": "notebook",
    "TutorialError": "notebook",
    "TutorialStepper": "stepper",
    "copy_lessons": "lesson_copies",
}

__all__ = [
    "Classroom",
    "FieldPrediction",
    "Prediction",
    "Tutorial",
    "TutorialError",
    "TutorialStepper",
    "copy_lessons",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
