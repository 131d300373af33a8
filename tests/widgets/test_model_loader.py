from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from openretina_widgets import ModelLoader, RetinaLab, RetinaModel
from openretina_widgets.models.published import PUBLISHED, published_path
from openretina_widgets.widgets.model_loader import model_card
from tests.models.checkpoint_files import content_of, model_of, save
from tests.models.hub_server import HubServer, serving

NAME = "hoefling_2024_low_res"

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
    assert "3 neurons in 1 session" in card
    assert "lag 4 frames (133 ms)" in card


def test_published_names_are_offered(tmp_path: Path) -> None:
    loader = ModelLoader(None)
    assert {"synthetic", *PUBLISHED} <= set(loader._source.options)
    loader.close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that has one model, and an empty cache."""
    monkeypatch.setenv("OPENRETINA_CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for proxy in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    path = str(published_path(NAME).relative_to(tmp_path / "cache"))
    file = save(content_of(model_of()), tmp_path / "model.ckpt")
    with serving(HubServer(files={path: file.read_bytes()})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def test_a_published_model_is_fetched_with_progress(hub: HubServer) -> None:
    hub.chunk, hub.delay = 2048, 0.1
    loader = ModelLoader(None)
    said: list[str] = []
    loader._card.observe(lambda change: said.append(change["new"]), "value")
    model = loader.load(NAME).result(timeout=60)
    assert loader.model is model
    assert model.name == NAME
    assert any(f"Fetching {NAME}: " in text and "<progress" in text for text in said)
    assert loader._cancel.disabled
    loader.close()


def test_an_opening_can_be_cancelled_and_the_model_stays(
    hub: HubServer, small_model: RetinaModel
) -> None:
    hub.chunk, hub.delay = 512, 0.05
    loader = ModelLoader(None)
    loader.model = small_model
    job = loader.load(NAME)
    deadline = time.monotonic() + 30
    while job.iteration < 3:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert not loader._cancel.disabled
    loader._cancel.click()
    with pytest.raises(CancelledError):
        job.result(timeout=30)
    assert "Cancelled" in loader._card.value
    assert loader.model is small_model
    assert not loader._load.disabled
    assert not published_path(NAME).exists()
    loader.close()


def test_a_failure_says_which_model_is_still_open(tmp_path: Path) -> None:
    loader = ModelLoader()
    with pytest.raises(FileNotFoundError):
        loader.load(str(tmp_path / "nothing.ckpt")).result(timeout=30)
    assert "Still open: synthetic." in loader._card.value
    assert ".." not in loader._card.value.replace(str(tmp_path), "")
    assert "--jp-error-color1" in loader._card.value  # red without the style sheet of a lab
    loader.close()


def test_variables_of_the_notebook_that_hold_a_model(small_model: RetinaModel) -> None:
    shell = InteractiveShell.instance()
    try:
        shell.user_ns |= {"net": small_model, "number": 3, "_hidden": small_model}
        loader = ModelLoader(None)
        assert "variable net" in loader._source.options
        assert not {"variable number", "variable _hidden"} & set(loader._source.options)
        assert loader.load("variable net").result(timeout=30) is small_model
        assert loader.load("net").result(timeout=30) is small_model  # as it is called
        shell.run_cell("del net; other = number")
        assert "variable net" not in loader._source.options
        with pytest.raises(TypeError, match="variable 'number' holds no model, but int"):
            loader.load("variable number").result(timeout=30)
        with pytest.raises(ValueError, match="no variable 'net'"):
            loader.load("variable net").result(timeout=30)
        callbacks = len(shell.events.callbacks["post_run_cell"])
        loader.close()
        assert len(shell.events.callbacks["post_run_cell"]) == callbacks - 1
    finally:
        InteractiveShell.clear_instance()


async def test_a_run_is_stopped_before_another_model_is_opened(small_model: RetinaModel) -> None:
    lab = RetinaLab(small_model, max_iterations=10**6, patience=None)
    run = lab.optimizer.start()
    while run.iteration < 3:
        await asyncio.sleep(0.005)
    model = await asyncio.wait_for(lab.loader.load("synthetic"), 60)
    assert run.done()
    assert lab.result is not None
    assert lab.result.stop_reason == "another model is opened"
    assert lab.model is model
    lab.close()


def test_what_is_uploaded_is_opened(tmp_path: Path) -> None:
    loader = ModelLoader(None)
    file = save(content_of(model_of()), tmp_path / "uploaded.ckpt")
    loader._upload.path = file
    assert loader.job is not None
    assert loader.job.result(timeout=60).name == "uploaded"
    assert loader._source.value == str(file)
    loader.close()


def test_devices_tell_what_is_free() -> None:
    loader = ModelLoader(None)
    [(label, device), *_] = loader._device.options
    assert device == "cpu"
    assert re.fullmatch(r"cpu(, \d+\.\d GiB free)?", label)
    loader.close()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_the_chosen_device_stays_chosen() -> None:
    loader = ModelLoader(device="cuda")
    assert loader._device.value == f"cuda:{torch.cuda.current_device()}"
    loader._load.click()
    assert loader.job is not None
    assert loader.job.result(timeout=60).device.type == "cuda"
    assert loader._device.value == f"cuda:{torch.cuda.current_device()}"
    loader.close()
