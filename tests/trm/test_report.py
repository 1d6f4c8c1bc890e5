"""A column's documentation, type, direction and bounds stand on its field."""

from __future__ import annotations

import math
from dataclasses import fields

from trm.report import COLUMNS, MACHINE_COLUMNS, PROBED, Report


def test_every_column_says_what_it_holds() -> None:
    assert list(COLUMNS) == [column.name for column in fields(Report)]
    meanings = [column.meaning for column in COLUMNS.values()]
    assert all(len(meaning.split()) > 2 and not meaning.endswith(".") for meaning in meanings)
    assert len(set(meanings)) == len(meanings)


def test_kinds_are_those_of_the_fields() -> None:
    assert {column.kind for column in COLUMNS.values()} == {"int", "float", "bool"}
    assert COLUMNS["mark"].kind == "int"
    assert COLUMNS["spectral_radius"].kind == "float"
    assert "spectral_radius" in PROBED
    assert "exact_accuracy" not in PROBED
    assert set(MACHINE_COLUMNS) == {"seconds", "train_seconds", "latency", "latency_ms", "memory"}


def test_shares_lie_in_0_to_1_and_costs_from_0_on() -> None:
    for column in COLUMNS.values():
        expected = {"more": (0.0, 1.0), "less": (0.0, math.inf), None: (-math.inf, math.inf)}
        assert (column.low, column.high) == expected[column.better]
