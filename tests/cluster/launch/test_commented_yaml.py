"""Whatever a tree holds, its YAML reads as that tree; comments change nothing."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.launch.commented_yaml import dump
from tests.support.launched import HOSTILE

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=25)
@given(st.dictionaries(st.text(max_size=6), TREES, max_size=4))
def test_it_reads_as_what_it_was(tree: dict[str, Any]) -> None:
    assert yaml.safe_load(dump(tree, {})) == tree


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE, "", "off", "1e-4", "1:30", "0x1f", "2.60.0", "null", "~", "a\n", "a\n\n", "\na",
        " a\nb", "a\n b\n\nc", "a \nb", "%a", "@a", "!a", "*a", "a: b", "#a",
    ],
)  # fmt: skip
def test_text_stays_text(text: str) -> None:
    assert yaml.safe_load(dump({"a": text, "b": [text, {"c": text}]}, {})) == {
        "a": text, "b": [text, {"c": text}],
    }  # fmt: skip


def test_comments_stand_before_what_they_are_about() -> None:
    tree = {"a": {"b": 1, "c": [{"d": 2, "e": 3}, 4]}}
    text = dump(tree, {"a.b": "one\ntwo", "a.c.0": "first", "a.c.0.e": "last", "a.x": "nowhere"})
    assert text.splitlines() == [
        "a:", "  # one", "  # two", "  b: 1", "  c:", "    # first", "    - d: 2", "      # last",
        "      e: 3", "    - 4",
    ]  # fmt: skip
    assert yaml.safe_load(text) == tree
