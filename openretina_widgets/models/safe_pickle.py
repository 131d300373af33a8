"""Follows the instructions of a pickle that make data, and refuses all others.

A pickle is a program: unpickled freely, it runs whatever its author wrote. Here its instructions
are parsed by `pickletools`, which executes nothing, and followed one by one by `PickleReader`.
Names of classes are looked up in a fixed table and never imported; any other name is refused.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from typing import Any

import torch

from openretina_widgets.models.safe_values import (
    NODES,
    ArrayClaim,
    CheckpointError,
    DTypeClaim,
    Module,
    Name,
    Node,
    StorageClaim,
    TensorClaim,
    UnsafeCheckpointError,
    as_dict,
    as_key,
    as_list,
    as_sizes,
    as_text,
    as_tuple,
    kind_of,
    numpy_array,
    short,
)

LARGEST_PICKLE = 64 * 2**20
"""Largest pickle in the archive (bytes); the weights are not part of it."""
MOST_INSTRUCTIONS = 2_000_000
"""Most pickle instructions that are followed; a usual checkpoint has 10,000."""


class PickleReader:
    """Follows the instructions of a pickle that make data, and refuses all others."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        # One string could be encoded over and over: in all, no more bytes than the pickle has.
        self._bytes_left = len(data)

    def load(self) -> object:
        """Return what the pickle describes."""
        try:
            for i, (operation, argument, _) in enumerate(pickletools.genops(self._data)):
                if i >= MOST_INSTRUCTIONS:
                    raise CheckpointError(f"more than {MOST_INSTRUCTIONS} pickle instructions")
                if operation.name == "STOP":
                    return self._stack.pop()
                self._follow(operation.name, argument)
        except CheckpointError:
            raise
        except (IndexError, KeyError, TypeError, ValueError, Warning) as error:
            # pickletools warns of odd escapes, and may quote all the rest of the pickle.
            raise CheckpointError(f"damaged pickle: {str(error)[:200]}") from error
        raise CheckpointError("damaged pickle: it has no end")

    def _follow(self, operation: str, argument: Any) -> None:
        if operation in _NUMBERS or operation in _BYTES:
            self._stack.append(argument)
        elif operation in _TEXTS:
            argument.encode()  # half a character, which a pickle may hold, raises a ValueError
            self._stack.append(argument)
        elif operation in _CONSTANTS:
            self._stack.append(_CONSTANTS[operation]())
        elif (method := _METHODS.get(operation)) is not None:
            method(self, argument)
        elif operation == "GLOBAL":
            module, _, name = argument.partition(" ")
            self._stack.append(_known_name(module, name))
        elif operation not in ("PROTO", "FRAME"):
            what = operation if argument is None else f"{operation} {short(argument)}"
            raise UnsafeCheckpointError(f"refused: the pickle instruction {what}")

    # Structure

    def _mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _tuple(self, _: None) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _tuple_of(self, n: int) -> None:
        items = self._stack[-n:]
        if len(items) != n:
            raise IndexError("too few values for a tuple")
        self._stack[-n:] = [tuple(items)]

    def _append(self, _: None) -> None:
        item = self._stack.pop()
        as_list(self._stack[-1]).append(item)

    def _appends(self, _: None) -> None:
        items = self._since_mark()
        as_list(self._stack[-1]).extend(items)

    def _set_item(self, _: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        as_dict(self._stack[-1])[as_key(key)] = value

    def _set_items(self, _: None) -> None:
        items = self._since_mark()
        target = as_dict(self._stack[-1])
        target.update(zip(map(as_key, items[::2]), items[1::2], strict=True))

    # Memory

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    # Names, and what is made with them

    def _stack_global(self, _: None) -> None:
        name, module = as_text(self._stack.pop()), as_text(self._stack.pop())
        self._stack.append(_known_name(module, name))

    def _reduce(self, _: None) -> None:
        arguments, name = as_tuple(self._stack.pop()), self._stack.pop()
        made = _CALLS.get(name.path) if isinstance(name, Name) else None
        if made is None:
            raise UnsafeCheckpointError(f"refused: it calls {short(name)}")
        value = made(*arguments)
        if isinstance(value, bytes):
            self._bytes_left -= len(value)
            if self._bytes_left < 0:
                raise CheckpointError("refused: its pickle unpacks to more than it holds")
        self._stack.append(value)

    def _new(self, _: None) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if isinstance(name, Name) and arguments == ():
            if name.path in NODES:
                self._stack.append(Node(name.path))
                return
            if _is_module(name.path):
                self._stack.append(Module(name.path))
                return
        raise UnsafeCheckpointError(f"refused: it makes a {short(name)}")

    def _build(self, _: None) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Node):
            target.state = as_dict(state)
        elif isinstance(target, ArrayClaim | DTypeClaim):
            target.build(state)
        # A state dict's own notes are not needed, nor is what a module holds: its weights are in
        # the state dict too.
        elif not isinstance(target, dict | Module):
            raise UnsafeCheckpointError(f"refused: it sets the state of {short(target)}")

    def _storage(self, _: None) -> None:
        kind, name, key, _, n_stored = as_tuple(self._stack.pop())
        dtype = _STORAGES.get(name.path) if isinstance(name, Name) else None
        if kind != "storage" or dtype is None or not isinstance(key, str):
            raise CheckpointError(f"damaged: no storage, {short(kind)}, {short(name)}")
        self._stack.append(StorageClaim(key, dtype, as_sizes((n_stored,))[0]))


_NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES"})
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_METHODS: dict[str, Callable[[PickleReader, Any], None]] = {
    "MARK": PickleReader._mark,
    "TUPLE": PickleReader._tuple,
    "TUPLE1": lambda reader, _: reader._tuple_of(1),
    "TUPLE2": lambda reader, _: reader._tuple_of(2),
    "TUPLE3": lambda reader, _: reader._tuple_of(3),
    "APPEND": PickleReader._append,
    "APPENDS": PickleReader._appends,
    "SETITEM": PickleReader._set_item,
    "SETITEMS": PickleReader._set_items,
    "BINPUT": PickleReader._put,
    "LONG_BINPUT": PickleReader._put,
    "MEMOIZE": PickleReader._memoize,
    "BINGET": PickleReader._get,
    "LONG_BINGET": PickleReader._get,
    "STACK_GLOBAL": PickleReader._stack_global,
    "REDUCE": PickleReader._reduce,
    "NEWOBJ": PickleReader._new,
    "BUILD": PickleReader._build,
    "BINPERSID": PickleReader._storage,
}


# The names that a pickle may use -------------------------------------------------------------


def _known_name(module: str, name: str) -> Name:
    # Protocol 2 keeps Python 2's spelling; numpy 2 moved its core.
    module = {"__builtin__": "builtins"}.get(module, module)
    module = module.replace("numpy._core.", "numpy.core.")
    path = f"{module}.{name}"
    if path not in _NAMES and not _is_module(path):
        raise UnsafeCheckpointError(
            f"refused: it asks for {short(path)}, which is not among the data that a checkpoint "
            "may hold; nothing in it was executed"
        )
    return Name(path)


def _is_module(path: str) -> bool:
    """Tell whether a name is that of a part of a model, which Lightning records with its class.

    Such a part is neither imported nor built: it is read over, and stands for its name.
    """
    return _MODULE.fullmatch(path) is not None


_MODULE = re.compile(
    r"(openretina\.modules(\.[a-z_]+)+|openretina\.models\.[a-z_]+|torch\.nn\.modules\.[a-z]+)"
    r"\.[A-Z][A-Za-z0-9]*"
)


def _made_bytes(text: object = "", encoding: object = "latin1") -> bytes:
    if encoding != "latin1":
        raise CheckpointError(f"damaged: bytes in the encoding {short(encoding)}")
    return as_text(text).encode("latin1")


def _made_dict(factory: object = None) -> dict[Any, Any]:
    """Return an empty dictionary; its items follow, and a default factory is no data."""
    if factory is not None and not isinstance(factory, Name):
        raise CheckpointError(f"damaged: a dictionary made of {kind_of(factory)}")
    return {}


def _made_dtype(code: object, *_: object) -> DTypeClaim:
    if not isinstance(code, str) or not re.fullmatch(
        r"b1|[iu][1248]|f[248]|c8|c16|[SU][0-9]{1,6}|O8?", code
    ):
        raise CheckpointError(f"refused: the numpy type {short(code)}")
    return DTypeClaim("O" if code[0] == "O" else code)


def _made_scalar(dtype: object, data: object) -> object:
    if not isinstance(dtype, DTypeClaim) or dtype.code == "O" or not isinstance(data, bytes):
        raise CheckpointError("damaged: a numpy number without type or data")
    return numpy_array(ArrayClaim((), dtype, False, data)).item()


def _made_array(kind: object, *_: object) -> ArrayClaim:
    if kind != Name("numpy.ndarray"):
        raise CheckpointError(f"refused: a numpy array made as {short(kind)}")
    return ArrayClaim()


def _made_tensor(
    storage: object, offset: object, size: object, stride: object, *_: Any
) -> TensorClaim:
    if not isinstance(storage, StorageClaim):
        raise CheckpointError("damaged: a tensor without storage")
    shape, steps = as_sizes(size), as_sizes(stride)
    if len(shape) != len(steps):
        raise CheckpointError(f"damaged: shape {short(shape)} with strides {short(steps)}")
    start = as_sizes((offset,))[0]
    return TensorClaim(storage.key, storage.dtype, storage.n_stored, start, shape, steps)


_CALLS: dict[str, Callable[..., object]] = {
    "_codecs.encode": _made_bytes,
    "builtins.bytes": _made_bytes,
    "builtins.set": lambda items: as_list(items),
    "collections.OrderedDict": _made_dict,
    "collections.defaultdict": _made_dict,
    "numpy.core.multiarray._reconstruct": _made_array,
    "numpy.core.multiarray.scalar": _made_scalar,
    "numpy.dtype": _made_dtype,
    "torch.Size": lambda sizes: as_sizes(sizes),
    "torch.device": lambda kind, index=None: as_text(kind),
    "torch._utils._rebuild_tensor_v2": _made_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}
_STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
# Named, as the type of a node or of a number, and never used.
_TYPES = {
    "typing.Any",
    "numpy.ndarray",
    # Nonlinearities of the parts that Lightning records.
    *(f"torch._C._nn.{name}" for name in ("elu_", "gelu", "softplus")),
    *(f"torch.nn.functional.{name}" for name in ("elu", "relu", "sigmoid", "softplus", "tanh")),
    *(f"builtins.{kind}" for kind in ("bool", "dict", "float", "int", "list", "long", "str")),
    "builtins.tuple",
    *(str(dtype) for dtype in _STORAGES.values()),
}
_NAMES = {*_CALLS, *_STORAGES, *NODES, *_TYPES}
