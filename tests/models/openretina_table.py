"""Every recorded architecture of OpenRetina: how far our answers are from its own.

``python -m tests.models.openretina_table`` prints a line for each checkpoint of
``tests/data/openretina``, and of ``shared/data/openretina_checkpoints`` beside the repository where
it is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from openretina_widgets import RetinaModel, load_model

RECORDED = Path(__file__).resolve().parents[1] / "data" / "openretina"
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "openretina_checkpoints"


@dataclass(frozen=True)
class Recording:
    """A stimulus, and what OpenRetina answers to it by session; None for all together.

    `told` is what the file does not say of its model, and whoever opens it does.
    """

    path: Path
    told: dict[str, object]
    stimulus: torch.Tensor
    answers: dict[str | None, torch.Tensor]

    def load(self) -> RetinaModel:
        return load_model(self.path, hyper_parameters=self.told)


def recording(path: Path) -> Recording:
    with np.load(path.with_suffix(".npz")) as file:
        names = {"a": "1_a", "b": "2_b", "all": None}
        if "response_a" in file:  # of the shared folder
            names = {"response_a": "1_session_a", "response_b": "2_session_b"}
        answers = {names[key]: torch.from_numpy(file[key]) for key in names if key in file}
        stimulus = torch.from_numpy(file["stimulus"])
        if not stimulus.numel():
            generator = torch.Generator().manual_seed(int(file["stimulus_seed"]))
            stimulus = torch.randn(tuple(map(int, file["shape"])), generator=generator)
        told: dict[str, object] = {}
        if path.stem == "single_cell_lnp":
            told["nonlinearity"] = "softplus"
        if "rf_location" in file:
            told["rf_location"] = file["rf_location"].tolist()
        return Recording(path, told, stimulus, answers)


def answer(model: RetinaModel, stimulus: torch.Tensor, data_key: str | None) -> torch.Tensor:
    """Return the answer of a session, of all joined for None, which `RetinaModel` does not give."""
    if data_key is not None:
        return model(stimulus, data_key=data_key)
    if len(model.sessions) == 1:
        return model(stimulus)
    return model.module(stimulus, data_key=None)


def differences(recorded: Recording, model: RetinaModel) -> dict[str | None, float]:
    """Return the largest absolute difference from OpenRetina by session; None for all joined."""
    with torch.no_grad():
        return {
            session: float((answer(model, recorded.stimulus, session) - expected).abs().max())
            for session, expected in recorded.answers.items()
        }


def paths(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.ckpt"))


def main() -> None:
    print(f"{'checkpoint':34}{'parameters':>11}{'spread':>9}  largest difference  architecture")
    for path in (*paths(RECORDED), *paths(SHARED)):
        recorded = recording(path)
        model = recorded.load()
        n = sum(parameter.numel() for parameter in model.parameters())
        spread = min(float(expected.std()) for expected in recorded.answers.values())
        worst = max(differences(recorded, model).values())
        print(f"{path.stem:34}{n:11}{spread:9.3f}  {worst:18.1e}  {model.description}")


if __name__ == "__main__":
    main()
