from __future__ import annotations

import pytest
import traitlets

from openretina_widgets import NeuronPicker, RetinaModel
from openretina_widgets.models import Neuron
from tests.widgets.conftest import LinearNonlinear

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def two_sessions() -> RetinaModel:
    class Two(LinearNonlinear):
        def forward(self, stimulus, data_key=None):  # type: ignore[no-untyped-def,override]
            response = super().forward(stimulus)
            return response if data_key == "large" else response[..., :1]

    return RetinaModel(Two(), input_shape=(2, 6, 5), sessions={"large": 3, "tiny": 1})


def test_shows_each_neuron_with_its_known_type(small_model: RetinaModel) -> None:
    picker = NeuronPicker(small_model, neuron=1)
    assert [label for label, _ in picker._list.options] == [
        "0 · ON sustained",
        "1 · OFF <b>transient</b>",
        "2",
    ]
    assert picker._list.value == 1
    assert "OFF &lt;b&gt;transient&lt;/b&gt;" in picker._note.value  # escaped: it is only a name
    picker.neuron = 0
    assert "Likes light." in picker._note.value
    assert "centre +10, −20 µm" in picker._note.value
    picker.close()


def test_search_chooses_what_it_shows_and_keeps_the_choice_when_nothing_matches(
    small_model: RetinaModel,
) -> None:
    picker = NeuronPicker(small_model, neuron=2)
    picker._filter.value = "SUST on"
    assert [index for _, index in picker._list.options] == [0]
    assert (picker._list.value, picker.neuron) == (0, 0)  # a run takes what is seen
    picker._filter.value = "nothing such"
    assert "No neuron matches" in picker._note.value
    assert picker.neuron == 0
    picker._filter.value = ""
    assert picker._list.value == 0
    picker.close()


def test_filter_by_cell_type(synthetic: RetinaModel) -> None:
    picker = NeuronPicker(synthetic, neuron=0, cell_type="OFF transient")
    expected = synthetic.neurons_of("OFF transient")
    assert [index for _, index in picker._list.options] == expected
    assert picker._type.value == "OFF transient"
    assert (picker.neuron, picker._list.value) == (0, None)  # in code it lists, it does not choose
    picker._type.value = "ON-OFF"
    assert picker.neuron == synthetic.neurons_of("ON-OFF")[0]
    assert picker.cell_type == "ON-OFF"
    assert [index for _, index in picker._list.options] == synthetic.neurons_of("ON-OFF")
    picker._filter.value = str(expected[0])  # both filters hold
    assert picker._list.options == ()
    assert "choose another type" in picker._note.value
    picker._filter.value = ""
    picker.cell_type = ""
    assert len(picker._list.options) == 84
    assert picker._list.value == picker.neuron
    picker.close()


def test_types_are_listed_with_their_number(small_model: RetinaModel) -> None:
    picker = NeuronPicker(small_model)
    assert picker._type.options == (
        ("all", ""),
        ("ON sustained · 1 neuron", "ON sustained"),
        ("OFF <b>transient</b> · 1 neuron", "OFF <b>transient</b>"),
    )
    with pytest.raises(traitlets.TraitError, match="there is no cell type 'ON'; the nearest is"):
        picker.cell_type = "ON"
    assert picker.cell_type == picker._type.value == ""
    picker.close()


def test_types_of_another_session_or_model(
    small_model: RetinaModel, two_sessions: RetinaModel
) -> None:
    picker = NeuronPicker(small_model, cell_type="ON sustained")
    picker.show_model(two_sessions)
    assert picker.cell_type == ""
    assert picker._type.options == (("not known", ""),)
    assert picker._type.disabled
    picker.data_key = "tiny"
    assert [label for label, _ in picker._list.options] == ["0"]
    picker.close()


def test_type_is_kept_in_a_session_that_has_it_and_dropped_in_one_that_has_not() -> None:
    class Three(LinearNonlinear):
        def forward(self, stimulus, data_key=None):  # type: ignore[no-untyped-def,override]
            return super().forward(stimulus)

    def named(*types: str) -> list[Neuron]:
        return [Neuron(i, name) for i, name in enumerate(types)]

    sessions = {
        "a": named("ON", "OFF", "ON"),
        "b": named("OFF", "ON", "OFF"),
        "c": named("", "", ""),
    }
    picker = NeuronPicker(
        RetinaModel(Three(), input_shape=(2, 6, 5), sessions=sessions), cell_type="ON"
    )
    picker.data_key = "b"
    assert (picker.cell_type, [i for _, i in picker._list.options]) == ("ON", [1])
    picker.data_key = "c"
    assert (picker.cell_type, [i for _, i in picker._list.options]) == ("", [0, 1, 2])
    picker.close()


def test_choice_in_the_list_is_a_trait(small_model: RetinaModel) -> None:
    picker = NeuronPicker(small_model)
    seen = []
    picker.observe(lambda change: seen.append(change["new"]), "neuron")
    picker._list.value = 2
    assert seen == [2]
    assert picker.chosen.index == 2
    picker.close()


def test_session_with_fewer_neurons(two_sessions: RetinaModel) -> None:
    picker = NeuronPicker(two_sessions, neuron=2)
    assert not picker._session.disabled
    picker._session.value = "tiny"
    assert (picker.data_key, picker.neuron) == ("tiny", 0)
    assert len(picker._list.options) == 1
    picker.data_key = "large"
    assert picker._session.value == "large"
    assert len(picker._list.options) == 3
    picker.close()


def test_unknown_neuron_or_session_names_the_nearest(two_sessions: RetinaModel) -> None:
    picker = NeuronPicker(two_sessions)
    with pytest.raises(traitlets.TraitError, match=r"has no neuron 7; .*nearest is 2"):
        picker.neuron = 7
    with pytest.raises(traitlets.TraitError, match="nearest is 'tiny'"):
        picker.data_key = "tini"
    assert (picker.data_key, picker.neuron) == ("large", 0)
    with pytest.raises(ValueError, match="no neuron 9"):
        NeuronPicker(two_sessions, neuron=9)
    picker.close()


def test_another_model(small_model: RetinaModel, two_sessions: RetinaModel) -> None:
    picker = NeuronPicker(small_model, neuron=2)
    picker.show_model(two_sessions)
    assert (picker.data_key, picker.neuron) == ("large", 0)
    assert [label for label, _ in picker._list.options] == ["0", "1", "2"]
    picker.close()
