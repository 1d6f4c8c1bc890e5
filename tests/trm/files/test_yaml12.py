from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trm.errors import UserError
from trm.files.yaml12 import dump_yaml, parse_value, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.5E3", 1500.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("1_000", "1_000"),
        ("off", "off"),
        ("yes", "yes"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        (".inf", float("inf")),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("{choice: [a, b]}", {"choice": ["a", "b"]}),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.dictionaries(st.text(min_size=1), PLAIN, max_size=4))
@example({":\x85": None, "a": "b\u2028 c\x85"})
def test_what_is_dumped_reads_back(tree: dict[str, Any]) -> None:
    assert parse_value(dump_yaml(tree)) == tree


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("a: [1, 2", "broken YAML"),
        ("a: 1\na: 2\n", "stands twice"),
        ("- 1\n- 2\n", "mapping"),
        ("!!python/object:os.system {}", "broken YAML"),
    ],
)
def test_bad_files_are_one_line_with_the_place(tmp_path: Path, content: str, word: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=word) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.yaml: No such file"):
        read_yaml(tmp_path / "nothing.yaml")
