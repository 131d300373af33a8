"""The card: what it says of a model, what it says is not known, and that it shows text as text."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.models import ModelCard, Neuron, RetinaModel
from openretina_widgets.models.checkpoint import load_checkpoint
from openretina_widgets.models.training_record import TrainingRecord, training_record
from tests.insilico.modules import TrainedNetwork, linear_model
from tests.models.checkpoint_files import DATA_INFO, content_of, model_of, save

CHECKPOINTS = Path(__file__).resolve().parents[2].parent / "shared/data/openretina_checkpoints"


@pytest.fixture
def path(tmp_path):
    return save(content_of(model_of()), tmp_path / "small.ckpt")


def with_data_info(path, **changes):
    content = content_of(model_of())
    content["hyper_parameters"]["data_info"] = {**DATA_INFO, **changes}
    return load_checkpoint(save(content, path.with_name("changed.ckpt")))


def lines_of(model, label):
    return dict(model.card.rows())[label]


# What it says --------------------------------------------------------------------------------


def test_card_of_a_checkpoint(path):
    model = load_checkpoint(path)
    card = model.card
    assert isinstance(card, ModelCard)
    assert (card.name, card.source) == ("small", str(path))
    assert (
        card.architecture
        == "CoreReadout: SimpleCore of 1 layer (2 → 3 channels), then GaussianMaskReadout for each "
        "session"
    )
    assert card.n_parameters == sum(p.numel() for p in model.module.parameters())
    assert [(session.name, session.n_neurons) for session in card.sessions] == [
        ("1_a", 4),
        ("2_b", 2),
    ]
    assert card.sessions[0].note == "left eye, ROI mask of 3 × 4 pixels, ROI numbers"
    assert card.sessions[1].note == "cell numbers"
    assert [(kind.name, kind.n_neurons) for kind in card.cell_types] == [
        ("G5 OFF", 1),
        ("G12 ON-OFF", 1),
        ("G33 displaced amacrine", 1),
    ]
    assert (card.frame_rate, card.frame_rate_known, card.pixel_size_um) == (25.0, True, 37.5)
    assert (card.lag, card.lag_ms) == (4, 160.0)
    assert card.weight_hash == model.weight_hash


def test_card_in_words(path):
    words = str(load_checkpoint(path).card).replace("\u00a0", " ")
    for line in (
        "small\nSimpleCoreWrapper and MultiGaussianMaskReadout of OpenRetina\n",
        "  Parameters      123\n",
        "  Neurons         6 in 2 sessions\n",
        "                  2_b: 2 (cell numbers)\n",
        "  Cell types      3 types, 3 of 6 neurons\n",
        "                  G5 OFF: 1 · G12 ON-OFF: 1 · G33 displaced amacrine: 1\n",
        "  Stimulus        2 channels (green, UV), 6 × 5 pixels (height × width)\n",
        "  Pixel size      37.5 µm on the retina\n",
        "  Frame rate      25 Hz\n",
        "  Lag             4 frames, 160 ms\n",
        "  Stimulus range  green -0.654 to 6.269, UV -0.913 to 6.269\n",
        "                  from: documented default: z-scored green and UV in Höfling et al.",
        "  Stimulus norm   30\n",
        "  Performance     not known\n",
    ):
        assert line in words
    assert max(map(len, words.splitlines())) <= 100


def test_what_is_not_known_is_said_to_be_not_known():
    rows = dict(linear_model(3).card.rows())
    for label in ("Cell types", "Pixel size", "Stimulus range", "Performance", "Trained on"):
        assert rows[label] == ["not known"], label
    assert rows["Frame rate"] == ["30 Hz (not known; assumed)"]
    assert rows["Lag"] == ["4 frames, 133 ms (not known; assumed)"]
    assert lines_of(linear_model(3, frame_rate=30), "Frame rate") == ["30 Hz"]


def test_a_checkpoint_that_records_nothing_says_so(path):
    content = content_of(model_of())
    content["hyper_parameters"]["data_info"] = {}
    rows = dict(load_checkpoint(save(content, path.with_name("bare.ckpt"))).card.rows())
    assert rows["Frame rate"] == ["30 Hz (not known; assumed)"]
    assert rows["Pixel size"] == rows["Cell types"] == rows["Trained on"] == ["not known"]


def test_card_of_the_synthetic_retina():
    model = orw.load_model("synthetic")
    rows = dict(model.card.rows())
    assert rows["Architecture"] == ["SyntheticRetina"]
    assert rows["Neurons"] == ["84 in 1 session", "synthetic: 84"]
    assert rows["Cell types"][0] == "21 types, 84 of 84 neurons"
    assert rows["Cell types"][1].startswith("ON sustained:\u00a04\u00a0· ON sustained, no")
    assert rows["Parameters"][0].startswith("none to train; ")
    assert rows["Trained on"] == ["nothing: it has no parameters"]
    assert rows["Stimulus range"][1].startswith("from: the definition of this retina")


def test_an_ensemble_is_told_by_its_members():
    class Ensemble(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.members = torch.nn.ModuleList([model_of(), model_of()])

        def forward(self, stimulus, data_key=None):
            return self.members[0](stimulus, data_key=data_key)

    model = RetinaModel(Ensemble(), input_shape=(2, 6, 5), sessions={"1_a": 4})
    assert model.card.architecture.startswith("Ensemble of 2: CoreReadout: SimpleCore of 1 layer (")


def test_card_is_a_value():
    card = linear_model(2).card
    assert card == linear_model(2).card
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.name = "other"


# Performance ---------------------------------------------------------------------------------


def test_performance_of_a_session_and_of_a_cell_type(path):
    model = with_data_info(
        path,
        stimulus_class="natural",
        pretrained_performance_metric="test CorrelationLoss3d",
        pretrained_performance={"1_a": torch.tensor([0.2, 0.4, 0.6, 0.4]), "2_b": 0.8},
    )
    card = model.card
    assert [session.performance for session in card.sessions] == pytest.approx([0.4, 0.8])
    assert [kind.performance for kind in card.cell_types] == pytest.approx([0.2, 0.4, 0.4])
    assert lines_of(model, "Performance") == [
        "0.600, mean of 2 sessions; test CorrelationLoss3d",
    ]
    assert "G5 OFF:\u00a01, performance 0.200" in str(card)
    assert lines_of(model, "Trained on") == ["natural (class of the stimuli)"]


def test_performance_of_one_number_is_not_shared_out_among_cell_types(path):
    model = with_data_info(path, pretrained_performance={"1_a": torch.tensor(0.5)})
    assert [kind.performance for kind in model.card.cell_types] == [None] * 3
    assert lines_of(model, "Performance") == ["0.500, mean of 1 session; metric not known"]


@pytest.mark.parametrize(
    "recorded",
    [
        "good",
        {"1_a": [0.1, 0.2]},
        {"1_a": "0.3"},
        {"1_a": [float("nan")] * 4},
        {"1_a": torch.ones(2, 2)},
        {"other": 0.3},
        [0.3],
    ],
)
def test_performance_of_another_form_is_not_known(recorded):
    record = training_record({"pretrained_performance": recorded}, {"1_a": 4})
    assert record == TrainingRecord()
    assert record.mean("1_a") is None


def test_a_neuron_without_performance_does_not_hide_the_others():
    values = np.array([0.5, np.nan, 0.7])
    record = training_record({"pretrained_performance": {"a": values}}, {"a": 3})
    assert record.mean("a") == pytest.approx(0.6)


# A live model --------------------------------------------------------------------------------


def live(**changes):
    """Return a module with a ``data_info``, as OpenRetina's models have it."""
    network = TrainedNetwork()
    network.data_info = {
        "stimulus_rate_hz": np.int64(25),
        "retina_pixel_size_um": 37.5,
        "stim_mean": np.float32(37.0),
        "stim_std": np.float32(28.0),
        "sessions_kwargs": {"a": {"group_assignment": np.array([5.0, 12.0, -1.0])}},
        "pretrained_performance": {"a": torch.tensor([0.1, 0.2, 0.6])},
        **changes,
    }
    return network


def test_a_live_model_says_what_it_records():
    model = RetinaModel(live())
    assert [neuron.cell_type for neuron in model.neurons("a")] == ["G5 OFF", "G12 ON-OFF", ""]
    assert model.n_neurons("b") == 2
    assert (model.frame_rate, model.frame_rate_known, model.pixel_size_um) == (25.0, True, 37.5)
    assert model.stimulus_norm == 30.0
    assert model.stimulus_range == ((pytest.approx(-37 / 28), pytest.approx(218 / 28)),) * 2
    assert model.card.sessions[0].performance == pytest.approx(0.3)
    assert model.card.source.startswith("live tests.")


def test_what_is_given_goes_before_what_a_live_model_records():
    model = RetinaModel(
        live(),
        frame_rate=60,
        pixel_size_um=10,
        stimulus_range=[(-1, 1)] * 2,
        stimulus_norm=2,
        sessions={"a": [Neuron(i, "mine") for i in range(3)]},
        training=TrainingRecord(stimulus="noise"),
    )
    assert model.sessions == ("a",)
    assert model.neurons()[0].cell_type == "mine"
    assert (model.frame_rate, model.pixel_size_um, model.stimulus_norm) == (60.0, 10.0, 2.0)
    assert model.stimulus_range == ((-1.0, 1.0),) * 2
    assert model.stimulus_range_source == "stated when the model was opened"
    assert lines_of(model, "Trained on") == ["noise (class of the stimuli)"]


@pytest.mark.parametrize("info", [None, {}, "text", 3])
def test_a_live_model_without_a_record_is_not_guessed(info):
    network = TrainedNetwork()
    network.data_info = info
    model = RetinaModel(network)
    assert model.stimulus_range is model.stimulus_norm is model.pixel_size_um is None
    assert not model.frame_rate_known


def test_openretinas_own_live_model_has_the_card_of_its_checkpoint():
    """In a process of its own: importing OpenRetina takes seconds, and warns."""
    file = CHECKPOINTS / "hoefling_2024_low_res.ckpt"
    if find_spec("openretina") is None or not file.exists():
        pytest.skip("OpenRetina, or its checkpoints beside the repository, are not here")
    code = (
        "import sys, dataclasses, openretina_widgets as orw; "
        "from openretina.models.core_readout import load_core_readout_model; "
        "live = orw.RetinaModel(load_core_readout_model(sys.argv[1], 'cpu')).card; "
        "ours = orw.load_model(sys.argv[1]).card; "
        "print(*[f.name for f in dataclasses.fields(live) "
        "if getattr(live, f.name) != getattr(ours, f.name)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["name", "source", "description", "architecture"]


# The hash of the weights ---------------------------------------------------------------------


def test_hash_is_that_of_the_live_object_that_was_saved(path):
    live_model = RetinaModel(model_of())
    assert load_checkpoint(path).weight_hash == live_model.weight_hash
    assert RetinaModel(live_model, input_shape=(2, 6, 5)).weight_hash == live_model.weight_hash


def test_hash_does_not_depend_on_memory_layout_and_does_on_names():
    module, other = model_of(), copy.deepcopy(model_of())
    expected = RetinaModel(module).weight_hash
    for parameter in other.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.transpose(0, 1).contiguous().transpose(0, 1)
    assert any(not parameter.is_contiguous() for parameter in other.parameters())
    assert RetinaModel(other).weight_hash == expected
    other.core.register_buffer("further", torch.zeros(0))
    assert RetinaModel(other).weight_hash != expected


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_hash_is_the_same_on_the_device(path):
    on_cuda = load_checkpoint(path, device="cuda")
    assert on_cuda.card.weight_hash == load_checkpoint(path).weight_hash
    assert on_cuda.card.device.startswith("cuda")


# HTML ----------------------------------------------------------------------------------------

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>\x1b[2J\u202e&amp;"


class Parts(HTMLParser):
    """Collects the elements, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def hostile_model(path):
    model = with_data_info(
        path,
        stimulus_class=EVIL,
        pretrained_performance_metric=EVIL,
        pretrained_performance={"1_a": 0.5},
        sessions_kwargs={"1_a": {"cell_types": [EVIL] * 4, "eye": EVIL}},
    )
    model.name = model.source = model.description = EVIL
    return model


def test_html_shows_everything_from_a_file_as_text(path):
    parts = Parts(hostile_model(path).card.html())
    assert parts.tags == {"div", "dl", "dt", "dd", "br"}
    assert parts.attributes == {"class", "role", "aria-label", "style"}
    text = "".join(parts.texts)
    assert text.count("<img src=x onerror=alert(1)>") == 7
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_words_hold_nothing_that_steers_a_terminal(path):
    words = str(hostile_model(path).card)
    assert all(char.isprintable() for char in words.replace("\n", "").replace("\u00a0", ""))


def test_a_long_name_is_cut(path):
    model = with_data_info(path, sessions_kwargs={"1_a": {"cell_types": ["x" * 10**6] * 4}})
    assert len(model.card.html()) < 10_000
    assert len(str(model.card)) < 5_000


def test_many_sessions_are_folded_and_counted():
    network = TrainedNetwork({f"session {i}": 1 for i in range(30)})
    card = RetinaModel(network).card
    assert dict(card.rows())["Neurons"][-1] == "and 18 more"
    parts = Parts(card.html())
    assert {"details", "summary"} <= parts.tags
    assert len(card.sessions) == 30


def test_model_and_card_are_shown_by_a_notebook():
    model = linear_model(2, name="two filters")
    assert model._repr_html_() == model.card._repr_html_() == model.card.html()
    assert "two filters" in model._repr_html_()
    # Colours come from JupyterLab's theme, light or dark, and nothing from elsewhere.
    assert "var(--jp-ui-font-color1,inherit)" in model._repr_html_()
    assert "http" not in model._repr_html_()


def test_ensemble_tells_the_architecture_and_range_of_its_members() -> None:
    path = Path(__file__).parents[1] / "data/openretina/lnp.ckpt"
    alone, card = orw.load_model(path).card, orw.load_model([path, path]).card
    assert card.architecture == f"Ensemble of 2: {alone.architecture}"
    assert card.stimulus_range_source == alone.stimulus_range_source
