"""Following a pickle: what makes no data is refused by name, and nothing in it is executed."""

import functools
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from openretina_widgets.models import safe_pickle
from openretina_widgets.models.checkpoint import (
    CheckpointError,
    UnsafeCheckpointError,
    load_checkpoint,
    read_checkpoint,
)
from tests.models.checkpoint_files import (
    Calls,
    config,
    content_of,
    model_of,
    save,
    state_dict_of,
    text,
    with_pickle,
)


@pytest.fixture
def model():
    return model_of()


# Code ----------------------------------------------------------------------------------------


class Evil(np.ndarray):
    """Runs code when numpy makes one."""

    def __array_finalize__(self, _):
        Path(os.environ["MARKER"]).touch()


# What a file asks for, and the name of it that the message has to say.
HOSTILE = {
    "os.system": (
        lambda marker: Calls(os.system, f"touch {marker}"),
        f"{os.system.__module__}.system",
    ),
    "eval": (
        lambda marker: Calls(eval, f"__import__('pathlib').Path({str(marker)!r}).touch()"),
        "builtins.eval",
    ),
    "functools.partial": (
        lambda marker: Calls(functools.partial(os.system, f"touch {marker}")),
        "functools.partial",
    ),
    "a chain of getattr": (
        lambda marker: Calls(Calls(getattr, Path(marker), "touch")),
        "builtins.getattr",
    ),
    "numpy._reconstruct": (
        lambda marker: Calls(np.zeros(1).__reduce__()[0], Evil, (3,), b"b"),
        f"{__name__}.Evil",
    ),
}
PLACES = {
    "alone": lambda content, bomb: bomb,
    "in the state dict": lambda content, bomb: {**content, "state_dict": {"a": bomb}},
    "in the hyper-parameters": lambda content, bomb: {
        **content,
        "hyper_parameters": {**content["hyper_parameters"], "loss": bomb},
    },
    "in a node": lambda content, bomb: {**content, "hyper_parameters": {"core": config(bomb)}},
    "where nobody looks": lambda content, bomb: {**content, "callbacks": [bomb]},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_code_is_refused_by_name_and_not_executed(tmp_path, model, kind, place, monkeypatch):
    made, named = HOSTILE[kind]
    marker = tmp_path / "executed"
    monkeypatch.setenv("MARKER", str(marker))
    path = save(PLACES[place](content_of(model), made(marker)), tmp_path / "hostile.ckpt")
    if place == "alone":  # the file does what it says it does
        with zipfile.ZipFile(path) as archive:
            pickle.loads(archive.read("hostile/data.pkl"))
        assert marker.exists()
        marker.unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UnsafeCheckpointError) as caught:
        load_checkpoint(path)
    assert f"{path}: refused" in str(caught.value)
    assert named in str(caught.value)
    assert not marker.exists()
    assert sorted(tmp_path.iterdir()) == before


SYSTEM = b"cos\nsystem\n"
# Instructions by hand: what pickle.dumps would not write, a file still may.
INSTRUCTIONS = {
    "a lambda": (b"\x80\x02c__main__\n<lambda>\n.", "__main__.<lambda>"),
    "a call": (b"\x80\x02" + SYSTEM + text("true") + b"\x85R.", "os.system"),
    "protocol 0": (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
    "protocol 4": (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
    "an instance": (b"(S'true'\nios\nsystem\n.", "STRING"),
    "an instance of": (b"(ios\nsystem\n.", "INST 'os system'"),
    "an object": (b"(" + SYSTEM + text("true") + b"o.", "os.system"),
    "an extension": (b"\x82\x01.", "EXT1 1"),
    "a getattr": (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
    "a renamed getattr": (b"\x80\x02c__builtin__\ngetattr\n.", "builtins.getattr"),
    "a dotted name": (b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93.", "torch.os.system"),
    "an import": (b"\x80\x02c__builtin__\n__import__\n.", "builtins.__import__"),
    "a call of a type": (b"\x80\x02c__builtin__\nlist\n)R.", "builtins.list"),
    "a call of a string": (b"\x80\x02" + text("os.system") + b")R.", "it calls 'os.system'"),
    "a new number": (b"\x80\x02c__builtin__\nint\n)\x81.", "it makes a builtins.int"),
    "a new node with arguments": (
        b"\x80\x02comegaconf.nodes\nAnyNode\nK\x01\x85\x81.",
        "it makes a omegaconf.nodes.AnyNode",
    ),
    "a state of a class": (
        b"\x80\x02comegaconf.nodes\nAnyNode\n}b.",
        "sets the state of omegaconf.nodes.AnyNode",
    ),
    "a state of a list": (b"\x80\x02]}b.", "sets the state of"),
    "a persistent name": (b"Pos.system\n.", "PERSID 'os.system'"),
    "a buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a new object with keywords": (b"\x80\x04}}}\x92.", "NEWOBJ_EX"),
}


@pytest.mark.parametrize("kind", INSTRUCTIONS)
def test_instructions_that_are_no_data_are_refused(tmp_path, kind, monkeypatch):
    executed = []
    monkeypatch.setattr(os, "system", executed.append)
    data, named = INSTRUCTIONS[kind]
    with pytest.raises(UnsafeCheckpointError) as caught:
        load_checkpoint(with_pickle(tmp_path / "hostile.ckpt", data))
    assert named in str(caught.value)
    assert not executed


def test_every_name_that_may_be_called_is_our_own():
    functions = safe_pickle._CALLS.values()
    assert {function.__module__ for function in functions} == {safe_pickle.__name__}


# Nonsense ------------------------------------------------------------------------------------

NODE = b"comegaconf.nodes\nAnyNode\n"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
NONSENSE = {
    "no end": b"\x80\x02}",
    "nothing": b"\x80\x02.",
    "no mark": b"\x80\x02]e.",
    "no value": b"\x80\x02\x85.",
    "no memory": b"\x80\x02h\x05.",
    "half a pair": b"\x80\x02}(K\x01u.",
    "a list as a key": b"\x80\x02}]Ns.",
    "a tuple as a key": b"\x80\x02})Ns.",
    "an append to a dictionary": b"\x80\x02}Na.",
    "half a character": b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.",
    "a node of a list": b"\x80\x02" + NODE + b")\x81]b.",
    "an array of no state": b"\x80\x02" + ARRAY + b")b.",
    "an array made as something else": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncomegaconf.nodes\nAnyNode\n\x85R."
    ),
    "a numpy type of code": b"\x80\x02cnumpy\ndtype\n" + text("i8,O") + b"\x85R.",
    "bytes in another encoding": (
        b"\x80\x02c_codecs\nencode\n" + text("a") + text("idna") + b"\x86R."
    ),
    "a storage of no type": b"\x80\x02(" + text("storage") + b"NNNNtQ.",
    "a tensor of no storage": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00)))tR.",
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_pickles_that_make_no_sense_are_refused(tmp_path, kind):
    path = with_pickle(tmp_path / "nonsense.ckpt", NONSENSE[kind])
    with pytest.raises(CheckpointError, match=r"nonsense\.ckpt: (damaged|refused)"):
        load_checkpoint(path)


# Tensors -------------------------------------------------------------------------------------


def test_a_tensor_written_by_hand_is_read(tmp_path):
    path = state_dict_of(tmp_path / "a.ckpt", [3], stored=struct.pack("<4f", 1, 2, 3, 4), offset=1)
    assert read_checkpoint(path).state_dict["w"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"size": [10**9], "n_stored": 10**9}, "4000000000 bytes are declared, only 16 are there"),
        ({"size": [10**9], "stride": [0]}, r"shape \(1000000000,\) does not fit the 4 numbers"),
        ({"size": [10**5, 10**5], "stride": [0, 0]}, "does not fit the 4 numbers"),
        ({"size": [4], "stride": [2]}, "does not fit the 4 numbers"),
        ({"size": [2], "offset": 3}, "does not fit the 4 numbers"),
        ({"size": [4], "offset": -1}, "damaged pickle: -1 where a size"),
        ({"size": [-4]}, "damaged pickle: -4 where a size"),
        ({"size": [4, 1]}, "with strides"),
        ({"size": [4], "n_stored": -4}, "damaged pickle: -4 where a size"),
        ({"size": [1] * 20, "stride": [1] * 20}, "20 dimensions"),
    ],
)
def test_tensors_that_claim_more_than_is_there_are_refused(tmp_path, claims, message):
    path = state_dict_of(tmp_path / "claims.ckpt", **claims)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)
