"""Reading the archive: only what torch writes is let in, and no file takes more than its share."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from openretina_widgets.models.checkpoint import (
    CheckpointError,
    UnsafeCheckpointError,
    load_checkpoint,
)
from openretina_widgets.models.core_readout import build_core_readout
from tests.models.checkpoint_files import (
    HYPER_PARAMETERS,
    Calls,
    claiming,
    content_of,
    entries_of,
    model_of,
    pack,
    save,
    state_dict_of,
    text,
    with_pickle,
)


@pytest.fixture
def model():
    return model_of()


@pytest.fixture
def path(tmp_path, model):
    return save(content_of(model), tmp_path / "small.ckpt")


# The archive ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../evil", "small/../../evil", "/etc/evil", "small\\..\\evil", "small/data/../../../evil"],
)
def test_a_path_that_climbs_out_is_refused(tmp_path, path, name):
    climbing = pack(tmp_path / "climbing.ckpt", {**entries_of(path), name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafeCheckpointError, match="climbs out"):
        load_checkpoint(climbing)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    "name",
    [
        "small/evil.tar",
        "small/data/evil.zip",
        "evil",
        "small/code/a.py",
        "small/constants.pkl",
        "small/",
    ],
)
def test_what_is_no_part_of_a_checkpoint_is_refused(tmp_path, path, name):
    odd = pack(tmp_path / "odd.ckpt", {**entries_of(path), name: b"x"})
    with pytest.raises(CheckpointError, match=f"'{name}' is no part of a checkpoint"):
        load_checkpoint(odd)


def test_notes_that_torch_may_add_are_let_be(tmp_path, path, model):
    noted = pack(tmp_path / "noted.ckpt", {**entries_of(path), "small/.data/note": b"x"})
    assert load_checkpoint(noted).n_neurons("1_a") == 4


def test_a_checkpoint_in_a_zip_is_said_to_be_packed(tmp_path, path):
    packed = pack(tmp_path / "packed.ckpt", {"model.ckpt": path.read_bytes()})
    with pytest.raises(CheckpointError, match=r"it holds 'model\.ckpt'; .* unpack it first"):
        load_checkpoint(packed)


def test_a_compressed_checkpoint_is_refused(tmp_path, path):
    small = pack(tmp_path / "deflated.ckpt", entries_of(path), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="is compressed"):
        load_checkpoint(small)


def test_an_encrypted_checkpoint_is_refused(tmp_path, path):
    data = bytearray(pack(tmp_path / "locked.ckpt", entries_of(path)).read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "locked.ckpt").write_bytes(data)
    with pytest.raises(CheckpointError, match="is encrypted"):
        load_checkpoint(tmp_path / "locked.ckpt")


def test_entries_that_overlap_are_refused(tmp_path):
    entries = {"small/data.pkl": b"\x80\x02}.", "small/data/0": bytes(2000), "small/data/1": b""}
    data = bytearray(pack(tmp_path / "overlap.ckpt", entries).read_bytes())
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1) + 1)
    data[at + 20 : at + 28] = struct.pack("<2L", 2000, 2000)
    (tmp_path / "overlap.ckpt").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"claim more bytes|cut short or damaged"):
        load_checkpoint(tmp_path / "overlap.ckpt")


def test_two_entries_of_one_name_are_refused(tmp_path, path):
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("small/version", b"4")
    with pytest.raises(CheckpointError, match="'small/version' is no part"):
        load_checkpoint(path)


def test_a_changed_weight_is_noticed(path, model):
    data = bytearray(path.read_bytes())
    at = data.index(model.state_dict()["readout.1_a.mask_mean"].numpy().tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"damaged: data/[0-9]+: Bad CRC-32"):
        load_checkpoint(path)


def test_numbers_in_the_other_byte_order_are_refused(tmp_path, path):
    other = "big" if sys.byteorder == "little" else "little"
    swapped = {**entries_of(path), "small/byteorder": other.encode()}
    with pytest.raises(CheckpointError, match=f"its numbers are {other}-endian"):
        load_checkpoint(pack(tmp_path / "swapped.ckpt", swapped))


# Files that are none -------------------------------------------------------------------------


@pytest.mark.parametrize("part", [i / 24 for i in range(24)] + [0.999, 0.9999])
def test_a_truncated_file_is_refused(tmp_path, path, part):
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(CheckpointError, match=r"small\.ckpt: (an empty file|cut short or damaged)"):
        load_checkpoint(path)


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_are_refused(tmp_path, seed):
    path = tmp_path / "random.ckpt"
    noise = np.random.default_rng(seed).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    path.write_bytes(noise if seed % 2 else b"PK\x03\x04" + noise)
    with pytest.raises(CheckpointError, match=r"random\.ckpt: (no checkpoint|cut short)"):
        load_checkpoint(path)


@pytest.mark.parametrize("seed", range(60))
def test_a_file_with_flipped_bytes_is_read_or_refused_in_words(tmp_path, path, seed):
    entries = entries_of(path)
    random = np.random.default_rng(seed)
    data = bytearray(entries["small/data.pkl"] if seed % 2 else path.read_bytes())
    for at in random.integers(0, len(data), random.integers(1, 9)):
        data[at] = random.integers(0, 256)
    if seed % 2:
        pack(path, {**entries, "small/data.pkl": bytes(data)})
    else:
        path.write_bytes(data)
    try:
        load_checkpoint(path)
        said = str(path)
    except CheckpointError as error:
        said = str(error)
    assert said.startswith(str(path))
    assert len(said) < 2000


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_is_refused(tmp_path, protocol):
    marker = tmp_path / "executed"
    path = tmp_path / "bare.ckpt"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {marker}"), protocol=protocol))
    with pytest.raises(CheckpointError, match="no checkpoint, which begins as a zip archive"):
        load_checkpoint(path)
    assert not marker.exists()


def test_torchs_own_old_format_is_refused(tmp_path, model):
    path = save(content_of(model), tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="a bare pickle; torch writes an archive since"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x1f\x8b\x08\x00", "a gzip file; .* unpack it first"),
        (bytes(257) + b"ustar\x00", "a tar archive; .* unpack it first"),
        (b"cposix\nsystem\np0\n", "a bare pickle"),
        (b"(dp0\n", "a bare pickle"),
        (b"epoch: 3\n", "something that begins with b'epoch: 3"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, beginning, message):
    path = tmp_path / "other.ckpt"
    path.write_bytes(beginning)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


# Memory --------------------------------------------------------------------------------------


def _laughs(model):
    value = ["ha"]
    for _ in range(40):
        value = [value] * 4
    return {**content_of(model), "hyper_parameters": {"ha": value}}


def _shared_weights(model):
    """Weights of 4 MB, claimed by many sessions."""
    counts = {f"s{i}": 10**6 // 12 for i in range(200)}
    hyper_parameters = {**HYPER_PARAMETERS, "n_neurons_dict": counts}
    with torch.device("meta"):
        wanted = build_core_readout(hyper_parameters).state_dict()
    stored = torch.zeros(max(tensor.numel() for tensor in wanted.values()))
    small = model.state_dict()
    state_dict = {
        key: small[key] if key in small else stored[: tensor.numel()].view(tensor.shape)
        for key, tensor in wanted.items()
    }
    return content_of(model, hyper_parameters=hyper_parameters) | {"state_dict": state_dict}


def _directory(path):
    """Write an archive with a table of contents of 40 MB."""
    pack(path, {"a/data.pkl": b"\x80\x02}."})
    data = path.read_bytes()
    start, entry = data.index(b"PK\x01\x02"), data[data.index(b"PK\x01\x02") : -22]
    table = entry * (40_000_000 // len(entry))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9999, 9999, len(table), start, 0)
    path.write_bytes(data[:start] + table + end)
    return path


GREEDY = {
    "a storage of 4 GB": lambda p, _: state_dict_of(p, [10**9], n_stored=10**9),
    "a view of 4 GB": lambda p, _: state_dict_of(p, [10**9], [0]),
    "10^9 neurons": lambda p, m: save(claiming(m, n_neurons_dict={"1_a": 10**9, "2_b": 2}), p),
    "60,000 channels": lambda p, m: save(claiming(m, hidden_channels=(60_000,)), p),
    "a stimulus of 10^12 pixels": lambda p, m: save(claiming(m, in_shape=(2, 9, 10**6, 10**6)), p),
    "weights shared 200 times": lambda p, m: save(_shared_weights(m), p),
    "lists in lists in lists": lambda p, m: save(_laughs(m), p),
    "a string encoded again and again": lambda p, _: with_pickle(
        p,
        b"\x80\x02c_codecs\nencode\nq\x00"
        + text("a" * 10**6)
        + text("latin1")
        + b"\x86q\x01"
        # 200,000 copies of 1 MB
        + b"h\x00h\x01R" * 200_000
        + b".",
    ),
    "a place far away in the memory": lambda p, _: with_pickle(
        p, b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b"."
    ),
    "100,000 levels": lambda p, _: with_pickle(
        p,
        b"\x80\x02}(%b}%b}%b%bsu."
        % (
            text("state_dict"),
            text("hyper_parameters"),
            text("a"),
            b"]" + b"]" * 10**5 + b"a" * 10**5,
        ),
    ),
    "10 million instructions": lambda p, _: with_pickle(p, b"\x80\x02" + b"}" * 10**7 + b"."),
    "an array of 10^12 rows of nothing": lambda p, m: save(
        {**content_of(m), "hyper_parameters": {"a": np.empty((10**12, 0), dtype=object)}}, p
    ),
    "a deflated bomb": lambda p, _: pack(
        p, {"a/data.pkl": b"\x80\x02}.", "a/data/0": bytes(10**8)}, zipfile.ZIP_DEFLATED
    ),
    "a table of contents of 40 MB": lambda p, _: _directory(p),
}
MEASURE = """
import json, resource, sys, time
from openretina_widgets.models.checkpoint import CheckpointError, load_checkpoint

def peak():  # in bytes
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

warm, *paths = sys.argv[1:]
load_checkpoint(warm)
answers = {}
for path in paths:
    before, start = peak(), time.perf_counter()
    try:
        load_checkpoint(path)
        said = "loaded"
    except CheckpointError as error:
        said = str(error)
    answers[path] = [said, peak() - before, time.perf_counter() - start]
print(json.dumps(answers))
"""


def test_greedy_files_are_refused_within_bounds(tmp_path, model, path):
    pytest.importorskip("resource")
    files = {
        kind: make(tmp_path / f"{i}.ckpt", model) for i, (kind, make) in enumerate(GREEDY.items())
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), *map(str, files.values())],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    answers = json.loads(done.stdout)
    assert len(answers) == len(GREEDY)
    for kind, file in files.items():
        said, grown, _ = answers[str(file)]
        assert said.startswith(f"{file}: "), kind
        # Reading needs a few times the file; the 2 million instructions allowed need most.
        assert grown < 5 * file.stat().st_size + 4e8, kind
