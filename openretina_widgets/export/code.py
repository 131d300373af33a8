"""Python code as text: literals, calls and arrays."""

from __future__ import annotations

import base64
import math
import pprint
import textwrap
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

_WIDTH = 88


class Code(str):
    """A text that stands in the code as it is, and not in quotes."""

    def __repr__(self) -> str:
        return str(self)


def literal(value: Any) -> str:
    """Return the code of a plain value: it evaluates to the value, to the last digit.

    Raises
    ------
    TypeError
        If it is none of None, bool, number, text, list, tuple, dictionary or `Code`.
    """
    return pprint.pformat(_with_code(value), width=_WIDTH, compact=True, sort_dicts=False)


def call(function: str, /, *arguments: str, **named: Any) -> str:
    """Return the code of a call, a line for each argument."""
    given = [Code(argument) for argument in arguments]
    lines = [f"{argument}," for argument in given]
    for name, value in named.items():
        text = textwrap.indent(f"{name}={literal(value)},", "    ").strip()
        lines.append(text)
    short = f"{function}({' '.join(lines).rstrip(',')})"
    if len(short) <= _WIDTH and "\n" not in short:
        return short
    return f"{function}(\n" + textwrap.indent("\n".join(lines), "    ") + "\n)"


def array(name: str, values: np.ndarray) -> str:
    """Return the code that makes an array, as the function ``array`` of `ARRAY` reads it."""
    plain = np.ascontiguousarray(values)
    if plain.dtype.byteorder == ">":
        plain = plain.astype(plain.dtype.newbyteorder("<"))
    text = base64.b64encode(zlib.compress(plain.tobytes(), 9)).decode()
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(text, _WIDTH))
    return f"{name} = array(\n    {plain.dtype.str!r}, {plain.shape!r},\n{lines},\n)"


ARRAY = '''\
import base64
import zlib


def array(kind, shape, text):
    """Return the array that a text holds."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)
    return values.reshape(shape).copy()'''


def _with_code(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, Code | bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else Code(f'float("{value}")')
    if isinstance(value, list | tuple):
        return type(value)(_with_code(one) for one in value)
    if isinstance(value, Mapping):
        return {_with_code(key): _with_code(one) for key, one in value.items()}
    raise TypeError(f"there is no code for {type(value).__name__}")
