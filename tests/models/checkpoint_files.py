"""Builds checkpoints: as Lightning writes them, and by hand, as nobody should."""

import collections
import struct
import sys
import types
import typing
import zipfile

import numpy as np
import pytest
import torch

from openretina_widgets.models.core_readout import build_core_readout

CORE = "openretina.modules.core.base_core.SimpleCoreWrapper"
READOUT = "openretina.modules.readout.multi_readout.MultiGaussianMaskReadout"


# A checkpoint as Lightning writes it, with configurations as OmegaConf pickles them -----------


def _omegaconf():
    """Classes that pickle under OmegaConf's names; OmegaConf itself is not needed."""

    def made(name):
        module, _, kind = f"omegaconf.{name}".rpartition(".")
        return type(kind, (), {"__module__": module, "__qualname__": kind})

    names = ["dictconfig.DictConfig", "listconfig.ListConfig", "nodes.AnyNode", "base.Metadata"]
    return {name: made(name) for name in [*names, "base.ContainerMetadata"]}


OMEGACONF = _omegaconf()


def node(name, **state):
    made = OMEGACONF[name]()
    made.__dict__.update(state)
    return made


def config(value, parent=None, key=None):
    """Return plain data as the tree of nodes that OmegaConf makes of it."""
    notes = {"ref_type": typing.Any, "key": key, "optional": True, "flags": {}}
    if not isinstance(value, dict | list):
        metadata = node("base.Metadata", object_type=None, **notes)
        return node("nodes.AnyNode", _metadata=metadata, _parent=parent, _val=value)
    kind = "dictconfig.DictConfig" if isinstance(value, dict) else "listconfig.ListConfig"
    metadata = node(
        "base.ContainerMetadata",
        object_type=type(value),
        key_type=int,
        resolver_cache=collections.defaultdict(dict),
        **notes,
    )
    made = node(kind, _metadata=metadata, _parent=parent, _content=None)
    items = value.items() if isinstance(value, dict) else enumerate(value)
    children = {k: config(v, made, k) for k, v in items}
    made._content = children if isinstance(value, dict) else list(children.values())
    return made


HYPER_PARAMETERS = {
    "in_shape": (2, 12, 6, 5),
    "hidden_channels": (3,),
    "n_neurons_dict": {"2_b": 2, "1_a": 4},
    "core": {
        "_target_": CORE,
        "_convert_": "object",
        "temporal_kernel_sizes": [5],
        "spatial_kernel_sizes": [3],
        "gamma_temporal": 40.0,
        "input_padding": False,
        "cut_first_n_frames": 0,
        "color_squashing_weights": None,
    },
    "readout": {
        "_target_": READOUT,
        "scale": True,
        "bias": True,
        "gaussian_mean_scale": 6.0,
        "gaussian_var_scale": 4.0,
        "positive": True,
    },
    "learning_rate": 0.01,
    "loss": None,
    "optimizer": {"_target_": "torch.optim.AdamW", "lr": "${model.learning_rate}"},
}
DATA_INFO = {
    "input_shape": (2, 6, 5),
    "stimulus_rate_hz": 25,
    "retina_pixel_size_um": np.float64(37.5),
    "stim_std": np.float64(28.4),
    "mean_activity_dict": {"1_a": torch.tensor([1.0, 2.0, 3.0, 4.0])},
    "sessions_kwargs": {
        "1_a": {
            "group_assignment": np.array([5, 12, -1, 33]),
            "roi_ids": np.array([7, 8, 9, 10], dtype=np.int16),
            "roi_mask": np.arange(12, dtype=">i2").reshape(3, 4, order="F"),
            "names": np.array(["a", "bé"], dtype=object),
            "codes": np.array(["x", "yz"]),
            "none": np.zeros((0, 3)),
            "eye": "left",
        },
        "2_b": {"cell_indices": [3, 14]},
    },
}


def model_of(hyper_parameters=HYPER_PARAMETERS):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_core_readout(hyper_parameters).eval()
        for name, parameter in model.named_parameters():
            if "conv" in name or "mask" in name or "features" in name:
                parameter.data.normal_(0, 0.5)
    return model


def content_of(model, *, hyper_parameters=HYPER_PARAMETERS, **changes):
    configured = {
        key: config(value) if key in ("core", "readout", "optimizer") else value
        for key, value in hyper_parameters.items()
    }
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": model.state_dict(),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(4)}}}],
        "hparams_name": "kwargs",
        "hyper_parameters": {**configured, "data_info": DATA_INFO},
        **changes,
    }


def save(content, path, **options):
    """Write what torch.save writes, with OmegaConf's names for a moment importable."""
    modules = {}
    for made in OMEGACONF.values():
        module = modules.setdefault(made.__module__, types.ModuleType(made.__module__))
        setattr(module, made.__name__, made)
    modules["omegaconf"] = types.ModuleType("omegaconf")
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        torch.save(content, path, **options)
    return path


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def pack(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def with_pickle(path, data):
    """Replace the pickle of a checkpoint."""
    return pack(path, {"small/data.pkl": data, "small/version": b"3\n"})


def claiming(model, **changes):
    return content_of(model, hyper_parameters={**HYPER_PARAMETERS, **changes})


# Pickles by hand -----------------------------------------------------------------------------


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __call__(self):
        """Be callable, as pickle asks of a function that is itself the result of a call."""

    def __reduce__(self):
        return self.call


def text(value):
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def group(*parts):
    return b"(" + b"".join(parts) + b"t"


def state_dict_of(path, size, stride=(1,), offset=0, n_stored=4, stored=bytes(16)):
    """Write a checkpoint whose one tensor claims these."""
    storage = group(
        *(text("storage"), b"ctorch\nFloatStorage\n", text("0"), text("cpu"), number(n_stored))
    )
    shape, steps = (group(*map(number, values)) for values in (size, stride))
    tensor = group(storage + b"Q", number(offset), shape, steps, b"\x89", b"N")
    weights = b"}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor + b"Rs"
    data = b"\x80\x02}(" + text("state_dict") + weights + text("hyper_parameters") + b"}u."
    return pack(path, {"small/data.pkl": data, "small/data/0": stored})
