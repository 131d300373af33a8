"""Find neurons by a condition on their measured indices: ``dsi > 0.4 and on_off.abs() < 0.3``.

A query is read by Python's own parser and then walked: nothing of it is ever executed, and what is
not on the list below is refused in words.

- columns by name, numbers, texts in quotes
- comparisons, also in chains (``0.2 < dsi < 0.5``), ``in`` and ``not in``
- ``and``, ``or``, ``not``; between brackets also ``&``, ``|``, ``~`` as in pandas
- ``+``, ``-``, ``*``, ``/``, ``abs(x)`` or ``x.abs()``, ``x.isna()``, ``x.notna()``

A comparison with an undefined number (NaN) is false, whichever it is; `isna` finds those.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from openretina_widgets.errors import unknown_name

_LONGEST = 1000  # characters
_DEEPEST = 40
_EXAMPLE = "such as dsi > 0.4 and on_off.abs() < 0.3"

_Operator = Callable[[Any, Any], Any]
_ARITHMETIC: dict[type[ast.operator], _Operator] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ORDER: dict[type[ast.cmpop], _Operator] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALITY: dict[type[ast.cmpop], _Operator] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_WORD = {"number": "a number", "text": "a text", "truth": "a condition", "list": "a list of texts"}


def matches(query: str, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return which rows of a table meet a condition.

    Parameters
    ----------
    query
        A condition; see the module.
    columns
        Name to values ``(n,)``: numbers, or texts as objects.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` bool.

    Raises
    ------
    TypeError
        If `query` is no text.
    ValueError
        If it cannot be read, names no column, or is no condition; the message says what is wrong
        where, and names the nearest column.
    """
    if not isinstance(query, str):
        raise TypeError(f"query: expected a text {_EXAMPLE}, got {query!r}")
    text = query.strip()
    if not text:
        raise ValueError(f"query: expected a condition {_EXAMPLE}, got an empty text")
    if len(text) > _LONGEST:
        raise ValueError(f"query: expected at most {_LONGEST} characters, got {len(text)}")
    tree = _parsed(text)
    n = len(next(iter(columns.values()))) if columns else 0
    with np.errstate(all="ignore"):  # a ratio over 0 is undefined, and compares false
        value = _Reader(text, columns, n).read(tree)
    if _kind(value) != "truth":
        raise ValueError(f"query: expected a condition {_EXAMPLE}, got {_WORD[_kind(value)]}")
    return np.broadcast_to(np.asarray(value, dtype=bool), (n,)).copy()


def _parsed(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the style of a program, which this is not
            tree = ast.parse(text.replace("\n", " "), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = getattr(error, "offset", None)
        near = f" near {text[max(0, where - 1) :][:20]!r}" if where and where <= len(text) else ""
        reason = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise ValueError(f"query: cannot be read{near}: {reason}") from None
    return tree


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return "list"
    if isinstance(value, str):
        return "text"
    kind = np.asarray(value).dtype.kind
    return {"b": "truth", "O": "text"}.get(kind, "number")


class _Reader:
    """Walks a query; every kind of node has its method, and what has none is refused."""

    def __init__(self, text: str, columns: Mapping[str, NDArray[Any]], n: int) -> None:
        self._text, self._columns, self._n, self._depth = text, columns, n, 0

    def read(self, node: ast.expr) -> Any:
        reader = getattr(self, f"_read_{type(node).__name__}", None)
        if reader is None:
            self._refuse(node)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"query: expected at most {_DEEPEST} levels of nesting")
        value = reader(node)
        self._depth -= 1
        return value

    def _source(self, node: ast.AST) -> str:
        found = ast.get_source_segment(self._text.replace("\n", " "), node) or self._text
        return found if len(found) <= 40 else found[:37] + "…"

    def _refuse(self, node: ast.AST) -> NoReturn:
        raise ValueError(
            f"query: {self._source(node)!r} is not possible in a query; it takes columns, numbers, "
            "texts in quotes, comparisons, and, or, not, + - * /, abs(), isna() and notna()"
        )

    def _of_kind(self, node: ast.expr, wanted: str) -> Any:
        value = self.read(node)
        if (got := _kind(value)) != wanted:
            hint = (
                "; put each comparison in brackets, or write and, or, not"
                if wanted == "truth" and ("&" in self._text or "|" in self._text)
                else ""
            )
            raise ValueError(
                f"query: expected {_WORD[wanted]}, got {_WORD[got]}: {self._source(node)!r}{hint}"
            )
        return value

    def _read_Name(self, node: ast.Name) -> Any:
        if node.id not in self._columns:
            raise ValueError(unknown_name("query", node.id, tuple(self._columns), "column"))
        return self._columns[node.id]

    def _read_Constant(self, node: ast.Constant) -> Any:
        value = node.value
        if isinstance(value, str | bool):
            return np.bool_(value) if isinstance(value, bool) else value
        if not isinstance(value, int | float):
            self._refuse(node)
        try:
            return np.float64(value)
        except OverflowError:
            raise ValueError(f"query: {self._source(node)!r} is too large") from None

    def _read_Tuple(self, node: ast.Tuple | ast.List | ast.Set) -> Any:
        texts = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"query: expected texts in quotes in {self._source(node)!r}")
        return tuple(texts)

    _read_List = _read_Set = _read_Tuple

    def _read_BoolOp(self, node: ast.BoolOp) -> Any:
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        truths = [self._of_kind(value, "truth") for value in node.values]
        result = truths[0]
        for truth in truths[1:]:
            result = join(result, truth)
        return result

    def _read_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not | ast.Invert):
            return np.logical_not(self._of_kind(node.operand, "truth"))
        value = self._of_kind(node.operand, "number")
        return -value if isinstance(node.op, ast.USub) else value

    def _read_BinOp(self, node: ast.BinOp) -> Any:
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            join = np.logical_and if isinstance(node.op, ast.BitAnd) else np.logical_or
            return join(self._of_kind(node.left, "truth"), self._of_kind(node.right, "truth"))
        if type(node.op) not in _ARITHMETIC:
            self._refuse(node)
        left, right = self._of_kind(node.left, "number"), self._of_kind(node.right, "number")
        return _ARITHMETIC[type(node.op)](left, right)

    def _read_Compare(self, node: ast.Compare) -> Any:
        result: Any = np.bool_(True)
        left = self.read(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.read(right_node)
            result = np.logical_and(result, self._compare(node, left, op, right))
            left = right
        return result

    def _compare(self, node: ast.Compare, left: Any, op: ast.cmpop, right: Any) -> Any:
        kinds = _kind(left), _kind(right)
        if isinstance(op, ast.In | ast.NotIn):
            found = self._found(node, left, right, kinds)
            return np.logical_not(found) if isinstance(op, ast.NotIn) else found
        if isinstance(op, ast.Is | ast.IsNot):
            self._refuse(node)
        if kinds == ("number", "number"):
            defined = ~(np.isnan(left) | np.isnan(right))
            return defined & (_ORDER | _EQUALITY)[type(op)](left, right)
        if kinds == ("text", "text") and type(op) in _EQUALITY:
            same = _texts_equal(left, right)
            return same if isinstance(op, ast.Eq) else np.logical_not(same)
        got = f"{_WORD[kinds[0]]} and {_WORD[kinds[1]]}"
        raise ValueError(
            f"query: {self._source(node)!r} compares {got}: numbers go with <, <=, ==, !=, >=, >, "
            "texts with ==, != and in"
        )

    def _found(self, node: ast.Compare, left: Any, right: Any, kinds: tuple[str, str]) -> Any:
        if kinds == ("text", "list"):
            found: Any = np.bool_(False)
            for text in right:
                found = np.logical_or(found, _texts_equal(left, text))
            return found
        if kinds == ("text", "text") and isinstance(left, str):
            texts = np.atleast_1d(np.asarray(right, dtype=object))
            return np.array([left in text for text in texts], dtype=bool)
        raise ValueError(
            f"query: {self._source(node)!r}: write cell_type in ('ON', 'OFF'), or "
            "'ON' in cell_type for a part of the text"
        )

    def _read_Call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Name) and function.id == "abs" and len(node.args) == 1:
            name, subject = "abs", node.args[0]
        elif isinstance(function, ast.Attribute) and not node.args:
            name, subject = function.attr, function.value
        else:
            self._refuse(node)
        if node.keywords or name not in ("abs", "isna", "notna"):
            self._refuse(node)
        value = self._of_kind(subject, "number")
        if name == "abs":
            return np.abs(value)
        return np.isnan(value) if name == "isna" else ~np.isnan(value)


def _texts_equal(left: Any, right: Any) -> Any:
    return np.equal(np.asarray(left, dtype=object), np.asarray(right, dtype=object)).astype(bool)
