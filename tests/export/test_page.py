"""The text of an exported page: escaped, closed to the network, small."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import json
import re

import numpy as np
import pytest

import openretina_widgets as orw
from openretina_widgets import export
from openretina_widgets.drawing import colour
from openretina_widgets.export import linked_views
from openretina_widgets.export.front_ends import scripts

EVIL = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>&\"\u2028"


class Reader(html.parser.HTMLParser):
    """Elements of a page, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self._script = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._script = "" if tag == "script" else None

    def handle_data(self, data):
        if self._script is not None:
            self._script += data

    def handle_endtag(self, tag):
        if tag == "script":
            self.scripts.append(self._script)
            self._script = None


@pytest.fixture(scope="module")
def text(session, tmp_path_factory):
    path = export.to_page(session, tmp_path_factory.mktemp("page") / "session.html")
    return path.read_text(encoding="utf-8")


def test_the_page_names_nothing_outside_itself(text):
    reader = Reader(text)
    for tag, attributes in reader.elements:
        for name in ("src", "href", "action", "data", "srcset"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"@import|url\(", text)


def test_the_policy_allows_its_own_script_alone(text):
    reader = Reader(text)
    (policy,) = [a["content"] for tag, a in reader.elements if a.get("http-equiv")]
    data, script = reader.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert len(json.loads(data)) > 10


def test_the_stimulus_is_carried_as_the_player_draws_it(best, tmp_path):
    path = export.to_page(best, tmp_path / "best.html")
    views = json.loads(Reader(path.read_text(encoding="utf-8")).scripts[0])
    players = [view["state"] for view in views if view["module"] == "stimulus_player"]
    assert len(players) == 4
    for state, stimulus in zip(players, best.stimulus.numpy(), strict=True):
        content = state["_content"]
        shown = np.frombuffer(base64.b64decode(content["frames"]["base64"]), np.uint8)
        limits = [colour.symmetric_limits(stimulus)] * 2
        assert [tuple(pair) for pair in content["limits"]] == limits
        np.testing.assert_array_equal(
            shown.reshape(stimulus.shape), colour.quantise(stimulus, limits[0])
        )
        assert state["autoplay"]


def test_a_page_of_50_frames_is_small(best, tmp_path):
    assert best.stimulus.shape[2] == 50
    assert export.to_page(best, tmp_path / "best.html").stat().st_size <= 5_000_000


def test_everything_is_escaped(best, gradient, gratings, table, tmp_path):
    identity = dataclasses.replace(best.model, name=EVIL, source=EVIL)
    evil = [
        dataclasses.replace(
            best, model=identity, channels=(EVIL, "UV"), unit=EVIL, settings={EVIL: [EVIL]},
            stop_reasons=(EVIL,) * 4,
        ),
        dataclasses.replace(gratings, title=EVIL, notes=(EVIL,), cell_types=(EVIL,) * 3),
        dataclasses.replace(gradient, notes=(EVIL,), cell_types=(EVIL,) * 3, base=EVIL),
        dataclasses.replace(table, notes=(EVIL,), data_key=EVIL),
    ]  # fmt: skip
    path = export.to_page({EVIL + str(k): one for k, one in enumerate(evil)}, tmp_path / "a.html",
                          title=EVIL)  # fmt: skip
    reader = Reader(path.read_text(encoding="utf-8"))
    tags = [tag for tag, _ in reader.elements]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert "alert" not in reader.scripts[1]


def test_a_page_of_what_is_not_defined_is_made(tmp_path):
    fields = orw.ReceptiveFields.of(np.full((2, 1, 1, 6, 5), np.nan), neurons=[7, 9])
    path = export.to_page(fields, tmp_path / "nothing.html")
    assert "not known" in path.read_text(encoding="utf-8")


def test_titles_are_texts(best, tmp_path):
    with pytest.raises(TypeError, match="title: expected a text, got int"):
        export.to_page(best, tmp_path / "a.html", title=3)


def test_every_front_end_becomes_a_function():
    every = ("stimulus_player", "tuning_plot", "tuning_map", "vector_plane", "retina_map",
             "field_wall", "population_table", "population_scatter")  # fmt: skip
    text = scripts(every)
    assert not re.search(r"^\s*(export|import) ", text, re.M)
    assert "</script" not in text.lower()
    assert "<!--" not in text


def views_of(result, tmp_path):
    path = export.to_page(result, tmp_path / "page.html")
    return json.loads(Reader(path.read_text(encoding="utf-8")).scripts[0])


def frames_of(state):
    return np.frombuffer(base64.b64decode(state["_content"]["frames"]["base64"]), np.uint8)


def only(views, module):
    (found,) = [view for view in views if view["module"] == module]
    return found


def test_a_population_has_all_stimuli_on_a_wall_and_their_movies(population, tmp_path):
    views = views_of(population, tmp_path)
    wall, player = only(views, "field_wall"), only(views, "stimulus_player")
    assert wall["state"]["_content"]["neurons"] == [3, 9, 40]
    assert player["follows"] == [wall["name"]]
    assert sorted(player["states"]) == ["3", "40", "9"]
    summary = population.summary
    lead = summary.sort("score", descending=True).neurons[0]
    assert wall["state"]["selected"] == [lead]
    assert player["state"]["title"] == player["states"][str(lead)]["title"]
    for neuron in (3, 9, 40):
        one = population.of(neuron)
        best = one.stimulus[int(one.score.argmax())].numpy()
        shown = frames_of(player["states"][str(neuron)]).reshape(best.shape)
        limits = colour.symmetric_limits(best)
        np.testing.assert_array_equal(shown, colour.quantise(best, limits))


def test_of_too_many_neurons_the_best_are_played(population, tmp_path, monkeypatch):
    each = int(population.card["bytes_of_one"]) // 4
    monkeypatch.setattr(linked_views, "_MOST_BYTES", 2 * each)
    views = views_of(population, tmp_path)
    ranked = population.summary.sort("score", descending=True).neurons
    assert sorted(only(views, "stimulus_player")["states"]) == sorted(map(str, ranked[:2]))
    assert len(only(views, "field_wall")["state"]["_content"]["neurons"]) == 3
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Movies of the 2 neurons with the highest scores are in this page, of 3." in text


def test_a_gradient_has_a_map_for_each_neuron(contrasts, tmp_path):
    views = views_of(contrasts, tmp_path)
    table, shown = only(views, "population_table"), only(views, "tuning_map")
    assert shown["follows"] == [table["name"]]
    for column, neuron in enumerate(contrasts.neurons):
        (one,) = shown["states"][str(neuron)]["_content"]["maps"]
        values, slopes = contrasts.responses[..., column], contrasts.gradients[:, :, column]
        np.testing.assert_allclose(one["values"], values.ravel(), rtol=1e-4)  # five digits
        np.testing.assert_allclose(one["slopes"], slopes.reshape(-1, 2))
    player = only(views, "stimulus_player")
    assert sorted(player["states"]) == sorted(map(str, contrasts.neurons))  # each its own place


def test_of_one_movie_for_all_every_point_plays(model, tmp_path):
    gradient = orw.response_gradient(model, neurons=[0, 1], green=[-1, 0.5], uv=[0, 1])
    views = views_of(gradient, tmp_path)
    player, shown = only(views, "stimulus_player"), only(views, "tuning_map")
    assert player["follows"] == [shown["name"]]
    movie = gradient.movie(0, 0.5, 1.0)  # point 3
    limits = colour.symmetric_limits(movie)
    frames = frames_of(player["states"]["3"]).reshape(movie.shape)
    np.testing.assert_array_equal(frames, colour.quantise(movie, limits))


def test_a_vector_field_has_a_plane_for_each_neuron_and_maps_for_each_image(image_field, tmp_path):
    views = views_of(image_field, tmp_path)
    plane = only(views, "vector_plane")
    assert sorted(plane["states"]) == ["0", "24", "72"]
    points = plane["states"]["72"]["_content"]["points"]
    at = np.array([[point["u"], point["v"]] for point in points])
    np.testing.assert_allclose(at, image_field.slopes[:, 1], rtol=1e-4)  # five digits
    maps = [view for view in views if view["module"] == "retina_map"]
    assert [view["state"]["title"] for view in maps] == [
        "Image, green", "Image, UV", "LSTA, green", "LSTA, UV"
    ]  # fmt: skip
    lsta = image_field.lsta[:, 1]
    limit = colour.symmetric_limits(lsta)[1]
    state = maps[3]["states"]["72/4"]
    np.testing.assert_array_equal(
        frames_of(state), colour.quantise(lsta[4, 1], (-limit, limit)).ravel()
    )
    assert maps[0]["follows"] == [plane["name"]]
