"""Where answers are kept; names of rooms and students; pseudonyms; what can be sent."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from openretina_widgets.tutorials.classroom.place import (
    VARIABLE,
    check_name,
    check_room,
    resolve_place,
)
from openretina_widgets.tutorials.classroom.pseudonyms import pseudonym
from openretina_widgets.tutorials.classroom.submission import LONGEST_VALUE, make_submission


def test_argument_then_environment_then_working_folder(monkeypatch, tmp_path):
    assert resolve_place().file == Path.cwd() / "classroom" / "answers.sqlite"
    assert resolve_place().is_default
    monkeypatch.setenv(VARIABLE, str(tmp_path / "of_all.sqlite"))
    assert resolve_place().file == tmp_path / "of_all.sqlite"
    assert resolve_place("mine.sqlite").file == Path.cwd() / "mine.sqlite"
    assert resolve_place(tmp_path).file == tmp_path / "answers.sqlite"  # a folder
    assert resolve_place(f"sqlite:///{tmp_path}/a.sqlite").file == tmp_path / "a.sqlite"


def test_a_password_is_not_in_the_words():
    pytest.importorskip("psycopg")
    place = resolve_place("postgresql://teacher:secret@school/lab?password=secret&host=/run")
    assert place.words == "postgresql+psycopg://teacher:***@school/lab?host=%2Frun"
    assert "secret" in place.url
    assert "secret" not in repr(place)
    assert place.key == resolve_place("postgres://teacher:other@school/lab?host=/run").key


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory"])
def test_a_database_in_memory_is_seen_by_nobody(url):
    with pytest.raises(ValueError, match=r"url: .*(memory|settings)"):
        resolve_place(url)


def test_wrong_places_are_refused_in_words(monkeypatch):
    with pytest.raises(ValueError, match="url: expected a path or an SQLAlchemy URL such as"):
        resolve_place("nonsense://here")
    with pytest.raises(TypeError, match="url: expected a path or an SQLAlchemy URL, got int"):
        resolve_place(3)
    with pytest.raises(ImportError, match="mysql needs the package MySQLdb"):
        resolve_place("mysql://host/lab")
    monkeypatch.setenv(VARIABLE, " ")
    with pytest.raises(ValueError, match=VARIABLE):
        resolve_place()


@pytest.mark.parametrize("room", ["", " ", "../x", "a/b", "a\nb", "<b>", "x" * 65, ".hidden"])
def test_rooms_that_are_refused(room):
    with pytest.raises(ValueError, match="room: expected 1 to 64 letters"):
        check_room(room)


def test_rooms_and_names_are_kept_in_one_way():
    assert check_room(" Köln 3.1-b ") == "Köln 3.1-b"
    assert check_room("Ko\u0308ln") == "Köln"
    assert check_name("  <b>Ada</b>  L. ") == "<b>Ada</b> L."
    for wrong in ("", "a\x00b", "a\u202eb", "x" * 61):
        with pytest.raises(ValueError, match="name: expected 1 to 60 characters"):
            check_name(wrong)
    with pytest.raises(TypeError, match="name: expected text or None, got int"):
        check_name(3)


def test_pseudonyms_say_nothing_of_a_person_and_come_from_a_seed():
    first = [pseudonym(random.Random(3)) for _ in range(2)]
    assert first[0] == first[1]
    generator = random.Random(0)
    drawn = {pseudonym(generator) for _ in range(1000)}
    assert len(drawn) > 850  # of about 8,700
    assert all(len(name.split()) == 2 and name.islower() for name in drawn)


def test_what_json_cannot_carry():
    assert make_submission("answer", "q", np.array([1.5, np.nan])).value == [1.5, None]
    assert make_submission("answer", "q", {"a": np.float32(0.5), "b": (True, None)}).value == {
        "a": 0.5,
        "b": [True, None],
    }
    with pytest.raises(TypeError, match="got set"):
        make_submission("answer", "q", {1, 2})
    with pytest.raises(TypeError, match="keys of a dict have to be text, got 1"):
        make_submission("answer", "q", {1: 2})
    with pytest.raises(ValueError, match="kind: expected one of 'answer', 'prediction', 'step'"):
        make_submission("grade", "q", 1)
    with pytest.raises(ValueError, match="id: expected 1 to 200 characters"):
        make_submission("answer", "", 1)


def test_a_megabyte_is_refused_and_the_limit_is_said():
    whole = "x" * (LONGEST_VALUE - 2)
    assert make_submission("answer", "q", whole).value == whole
    with pytest.raises(ValueError, match="too long: its text takes 1,000,002 bytes, and at most"):
        make_submission("answer", "q", "x" * 1_000_000)
    with pytest.raises(ValueError, match="Nothing was sent"):
        make_submission("answer", "q", whole + "x")


def test_importing_loads_neither_the_database_nor_widgets_nor_torch():
    code = (
        "import sys; from openretina_widgets import Classroom\n"
        "print(*{'sqlalchemy', 'torch', 'ipywidgets', 'psycopg'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
