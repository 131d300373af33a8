"""The code of an experiment of the user's own, read from the function that makes it."""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from openretina_widgets.export.code import call, literal
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment

__all__ = ["OwnCode", "own_code"]

_IN_THE_NOTEBOOK = ("np", "orw")
_TAKEN = ("array", "compare", "expected", "find_spec", "made_with", "model", "version")


@dataclass(frozen=True)
class OwnCode:
    """Statements that define a function, the call that makes the experiment, and the experiment."""

    before: tuple[str, ...]
    call: str
    experiment: Experiment


def own_code(make: Callable[[], Experiment]) -> OwnCode:
    """Return the code of a function, of all that it uses, and of the call.

    Parameters
    ----------
    make
        A function whose source can be read, or a `functools.partial` of one with plain keywords.
        Of what it uses, modules and what they hold are imported, plain values written out, and
        functions of the same place taken along.

    Raises
    ------
    TypeError
        If it is no such function, or what it returns is no experiment.
    ValueError
        If its code cannot be read, or uses something that code cannot say; the message names it.
    """
    named: dict[str, Any] = {}
    function: Any = make
    if isinstance(make, functools.partial):
        function, named = make.func, dict(make.keywords)
        if make.args:
            raise TypeError(f"experiment: give the partial keywords only, got {make.args!r}")
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        raise TypeError(
            "experiment: expected a function that returns the experiment, defined with def, got "
            f"{make!r}"
        )
    imports: list[str] = []
    written: dict[str, str] = {}
    _take(function, imports, written)
    try:
        text = call(function.__name__, **named)
    except TypeError as error:
        raise ValueError(f"experiment: of the keywords of the partial, {error}") from None
    before = tuple("\n".join(imports).splitlines()) + tuple(
        f"\n\n{one}\n" if one.startswith("def ") else one for one in written.values()
    )
    return OwnCode(before, text, _run(before, text))


def _run(before: tuple[str, ...], text: str) -> Experiment:
    """Return what the code makes where nothing else is known, as in the notebook."""
    import openretina_widgets as orw

    names: dict[str, Any] = {"np": np, "orw": orw, "__name__": "__main__"}
    exec("\n".join(before), names)  # the user's own code, handed in to be written down
    experiment = eval(text, names)
    if not isinstance(experiment, Experiment):
        raise TypeError(
            f"experiment: expected an Experiment from {text}, got {type(experiment).__name__}"
        )
    return experiment


def _take(function: FunctionType, imports: list[str], written: dict[str, str]) -> None:
    name = function.__name__
    if name in _TAKEN:
        raise ValueError(
            f"experiment: the notebook has a name {name!r} of its own; call the function otherwise"
        )
    if function.__closure__:
        inner = ", ".join(function.__code__.co_freevars)
        raise ValueError(
            f"experiment: {name}() uses {inner} of the function around it; make it an argument"
        )
    try:
        source = textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        raise ValueError(
            f"experiment: the source of {name}() cannot be read; define it in a cell or a file"
        ) from None
    written[name] = ""  # it may call itself
    for used in dict.fromkeys([*_globals_of(function.__code__), *_names_of_head(source)]):
        _take_name(used, function, imports, written)
    del written[name]
    written[name] = source  # after what it uses


def _take_name(
    used: str, function: FunctionType, imports: list[str], written: dict[str, str]
) -> None:
    if used in written or used in _IN_THE_NOTEBOOK:
        return
    if used not in function.__globals__:
        if hasattr(builtins, used):
            return
        raise ValueError(f"experiment: {function.__name__}() uses {used!r}, which is not defined")
    value = function.__globals__[used]
    if (
        isinstance(value, FunctionType)
        and value.__name__ == used
        and value.__module__ == function.__module__
    ):
        _take(value, imports, written)
    elif line := _import_of(used, value):
        if line not in imports:
            imports.append(line)
    else:
        written[used] = f"{used} = {_literal_of(used, value, function)}"


def _literal_of(used: str, value: Any, function: FunctionType) -> str:
    try:
        if isinstance(value, np.ndarray):
            return f"np.array({literal(value)})"
        return literal(value)
    except TypeError:
        raise ValueError(
            f"experiment: {function.__name__}() uses {used!r} of type {type(value).__name__}, "
            "which code cannot say; make it inside the function"
        ) from None


def _import_of(used: str, value: Any) -> str:
    """Return the line that imports it; empty where it lives in no module."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__}" + (f" as {used}" if used != value.__name__ else "")
    home, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(home, str) or not isinstance(name, str) or home == "__main__":
        return ""
    try:
        if getattr(import_module(home), name, None) is not value:
            return ""
    except ImportError:
        return ""
    return f"from {home} import {name}" + (f" as {used}" if used != name else "")


def _names_of_head(source: str) -> Iterator[str]:
    """Yield the names that a function uses outside its body: defaults, annotations, decorators."""
    (defined,) = ast.parse(source).body
    if isinstance(defined, ast.FunctionDef):
        returns = [] if defined.returns is None else [defined.returns]
        for part in (*defined.decorator_list, defined.args, *returns):
            yield from (one.id for one in ast.walk(part) if isinstance(one, ast.Name))


def _globals_of(code: CodeType) -> Iterator[str]:
    """Yield the global names that a function uses, and those of the functions within it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)
