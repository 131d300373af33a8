"""Conditions on columns: right answers counted by hand, wrong questions answered in words."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.population.query import matches

COLUMNS = {
    "neuron": np.array([0, 1, 2, 3]),
    "dsi": np.array([0.5, 0.1, np.nan, 0.9]),
    "on_off": np.array([0.1, -0.9, 0.0, -0.2]),
    "cell_type": np.array(["ON", "OFF transient", "ON-OFF", "ON-OFF DS"], dtype=object),
}


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("dsi > 0.4 and on_off.abs() < 0.3", [0, 3]),
        ("dsi > 0.4 and abs(on_off) < 0.15", [0]),
        ("(dsi > 0.4) & (on_off < 0) | (neuron == 1)", [1, 3]),
        ("~(on_off < 0)", [0, 2]),
        ("0.05 < dsi < 0.6", [0, 1]),
        ("dsi > on_off + 0.5", [1, 3]),
        ("2 * dsi - 0.1 >= 0.9", [0, 3]),
        ("-on_off > 0.15", [1, 3]),
        ("on_off / 0 > 1", [0]),  # 0.1 / 0 is infinite, 0 / 0 undefined
        ("cell_type == 'ON'", [0]),
        ("cell_type != 'ON'", [1, 2, 3]),
        ("'ON-OFF' in cell_type", [2, 3]),
        ("'ON-OFF' not in cell_type and dsi > 0", [0, 1]),
        ("cell_type in ('ON', 'OFF transient')", [0, 1]),
        ("cell_type not in ['ON', 'OFF transient']", [2, 3]),
        ("1 < 2", [0, 1, 2, 3]),
        ("\n dsi > 0.4 \n and neuron > 0", [3]),
    ],
)
def test_rows_that_match(query, rows):
    assert np.flatnonzero(matches(query, COLUMNS)).tolist() == rows


@pytest.mark.parametrize("sign", ["<", "<=", "==", "!=", ">=", ">"])
def test_a_comparison_with_an_undefined_number_is_false(sign):
    assert not matches(f"dsi {sign} 0.3", COLUMNS)[2]


def test_undefined_numbers_are_found():
    assert np.flatnonzero(matches("dsi.isna()", COLUMNS)).tolist() == [2]
    assert np.flatnonzero(matches("dsi.notna() and on_off < 0", COLUMNS)).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("dsy > 0.4", "no column 'dsy'; the nearest is 'dsi'"),
        ("dsi >", "cannot be read"),
        ("", "expected a condition such as"),
        ("dsi + 1", "expected a condition .* got a number"),
        ("cell_type", "expected a condition .* got a text"),
        ("dsi > 0.4 & on_off < 0.3", "put each comparison in brackets"),
        ("dsi > 'ON'", "compares a number and a text"),
        ("cell_type < 'ON'", "texts with ==, != and in"),
        ("dsi in cell_type", "'ON' in cell_type for a part"),
        ("cell_type in (1, 2)", "expected texts in quotes"),
        ("dsi == dsi and dsi", "expected a condition, got a number: 'dsi'"),
        ("cell_type.abs() > 0", "expected a number, got a text: 'cell_type'"),
        ("not dsi", "expected a condition, got a number"),
        ("dsi > 1" + "0" * 400, "is too large"),
        ("dsi > 0 or " * 100 + "dsi > 0", "at most 1000 characters"),
        ("-" * 300 + "dsi > 0", "levels of nesting"),
        ("(" * 300 + "dsi" + ")" * 300 + " > 0", "cannot be read"),
        ("dsi > 0\x00", "cannot be read"),
    ],
)
def test_what_cannot_be_answered_says_why(query, words):
    with pytest.raises(ValueError, match=words):
        matches(query, COLUMNS)


@pytest.mark.parametrize(
    "query",
    [
        "__import__('os').system('true')",
        "dsi.__class__",
        "dsi.tofile('x')",
        "().__class__.__bases__[0]",
        "(lambda: 1)() > 0",
        "[x for x in dsi] == 1",
        "dsi[0] > 0",
        "f'{dsi}' == cell_type",
        "dsi ** 9 ** 9 > 0",
        "'a' % dsi == 'a'",
        "(dsi := 3) > 2",
        "dsi.abs(axis=0) > 0",
        "max(dsi) > 0",
        "dsi is 1",
        "dsi > 0 if dsi < 1 else dsi > 2",
        "b'ON' == cell_type",
        "1j > dsi",
        "... == dsi",
    ],
)
def test_nothing_but_conditions_is_read(query, recwarn):
    with pytest.raises(ValueError, match="is not possible in a query"):
        matches(query, COLUMNS)
    assert not recwarn.list


def test_only_texts_are_read():
    with pytest.raises(TypeError, match="expected a text"):
        matches(3, COLUMNS)


def test_columns_stay_as_they_are():
    before = {name: values.copy() for name, values in COLUMNS.items()}
    matches("-dsi > 0 and on_off.abs() > 0", COLUMNS)
    for name, values in before.items():
        assert np.array_equal(values, COLUMNS[name], equal_nan=name == "dsi")
