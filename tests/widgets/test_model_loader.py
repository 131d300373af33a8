from __future__ import annotations

from pathlib import Path

import pytest

from openretina_widgets import ModelLoader, RetinaModel
from openretina_widgets.widgets.model_loader import model_card

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_opens_the_embedded_model_at_once() -> None:
    loader = ModelLoader()
    assert loader.model is not None
    assert loader.model.name == "synthetic"
    assert loader.model.weight_hash in loader._card.value
    loader.close()


def test_missing_file_is_said_in_the_widget_and_by_the_job(tmp_path: Path) -> None:
    loader = ModelLoader(None)
    job = loader.load(str(tmp_path / "nothing.ckpt"))
    with pytest.raises(FileNotFoundError, match=r"nothing\.ckpt"):
        job.result(timeout=30)
    assert "nothing.ckpt" in loader._card.value
    assert "orw-error" in loader._card.value
    assert loader.model is None
    assert not loader._load.disabled
    loader.close()


def test_failure_keeps_the_model_that_was_open(tmp_path: Path) -> None:
    loader = ModelLoader()
    before = loader.model
    broken = tmp_path / "<b>broken.ckpt"
    broken.write_bytes(b"no checkpoint at all")
    with pytest.raises(ValueError, match="broken"):
        loader.load(str(broken)).result(timeout=30)
    assert loader.model is before
    assert "<b>broken" not in loader._card.value  # a file's name is only a name
    loader.close()


def test_press_on_load_opens_what_is_typed() -> None:
    loader = ModelLoader(None)
    assert loader.model is None
    loader._source.value = " synthetic "
    loader._load.click()
    assert loader.job is not None
    assert loader.job.result(timeout=60) is loader.model
    loader.close()


def test_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="device"):
        ModelLoader(device="cuda:99")
    with pytest.raises(ValueError, match="expected 'cpu' or 'cuda', got 'tpu-9'"):
        ModelLoader(device="tpu-9")


def test_card_escapes_what_comes_from_the_model(small_model: RetinaModel) -> None:
    small_model.name = "<script>alert(1)</script>"
    card = model_card(small_model)
    assert "<script>" not in card
    assert "&lt;script&gt;" in card
    assert "neurons 3" in card
    assert "lag 4 frames (133 ms)" in card
