"""`trm keys`: a section, one key, JSON, a schema, and the way to a key that is not there."""

from __future__ import annotations

import json

import pytest

from search.cli import main
from search.config.keys import all_keys


def test_a_section_is_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "train.budget"]) == 0
    assert capsys.readouterr().out.splitlines()[:6] == [
        "train.budget",
        "    section; default {steps: 60000}",
        "    how much to train",
        "",
        "train.budget.steps",
        "    integer > 0, <= 1e+12, or null; default null",
    ]


def test_without_a_section_every_key_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and line[0] != " "] == [key.path for key in all_keys()]


def test_scripts_and_editors_read_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "search.scheduler[median].grace", "--json"]) == 0
    [key] = json.loads(capsys.readouterr().out)
    assert (key["type"], key["default"]) == ("number > 0, < 1", "0.25")
    assert main(["keys", "--json-schema"]) == 0
    assert "train" in json.loads(capsys.readouterr().out)["properties"]


@pytest.mark.parametrize(
    ("section", "hint"),
    [
        ("trian", "did you mean train"),
        ("lr", "did you mean optimizer.lr?"),
        ("xyzzy", "sections: schema_version, name, task"),
    ],
)
def test_an_unknown_key_names_the_nearest(
    section: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", section]) == 2
    error = capsys.readouterr().err
    assert hint in error
    assert error.count("\n") == 1
