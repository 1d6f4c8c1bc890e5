"""A detector that a plug-in adds to the registry runs, with settings of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from curricula.component import Component, foreign_names
from trm.config import experiment_from
from trm.detectors import DETECTORS
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import EVIDENCE, number, when
from trm.diagnostics import (
    DiagnosticsConfig,
    added_findings,
    describe,
    diagnose,
    evidence,
    recorded,
)
from trm.errors import UserError
from trm.report import ReportRow
from trm.training.trainer import Trainer


class SlowConfig(Component):
    """Reports with few steps that fire."""

    most: float | None = Field(default=15.0, gt=0.0)
    column: str = "step"


def slow(rows: Sequence[ReportRow], config: SlowConfig) -> Finding | None:
    """A learning rate has been set for more than so many steps."""
    for row in rows:
        value = number(row, config.column)
        assert number(row, "learning_rate") is not None
        if config.most is not None and value is not None and value > config.most:
            return Finding("slow", "warning", when(row), value, config.most, "steps", "hurry")
    return None


SLOW = Detector(slow, SlowConfig, "too many steps", "steps", columns=("learning_rate",))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, "slow", SLOW)


@pytest.mark.usefixtures("registered")
def test_it_runs_in_training_and_its_finding_is_reported(
    tiny: Callable[..., dict[str, Any]], cache: Path
) -> None:
    config = experiment_from(tiny())
    trainer = Trainer(config, config.task.build(cache))
    first, last = trainer.run()
    assert last.findings - first.findings == 1
    assert trainer.counters.history[0]["learning_rate"] == first.learning_rate
    added = added_findings(trainer.counters.history, config.diagnostics)
    assert added is not None
    assert [finding.detector for finding in added] == ["slow"]
    told = describe(diagnose(trainer.counters.history, config.diagnostics))
    assert "warning at 100%: slow: hurry" in told


@pytest.mark.usefixtures("registered")
def test_it_can_stop_a_run(tiny: Callable[..., dict[str, Any]], cache: Path) -> None:
    changes = {"diagnostics": {"stop_on": ["slow"], "slow": {"most": 5}}}
    config = experiment_from(tiny(changes))
    (only,) = Trainer(config, config.task.build(cache)).run()
    assert (only.step, only.collapsed) == (10, True)


@pytest.mark.usefixtures("registered")
def test_its_settings_are_written_out_and_null_turns_it_off(
    tiny: Callable[..., dict[str, Any]],
) -> None:
    config = experiment_from(tiny())
    section = config.tree()["diagnostics"]
    assert section["slow"] == {"most": 15.0, "column": "step"}
    assert experiment_from(config.tree()) == config
    rows = [{"progress": 1.0, "step": 20, "learning_rate": 0.1}]
    (finding,) = diagnose(rows, config.diagnostics)
    assert (finding.detector, finding.value) == ("slow", 20.0)
    off = experiment_from(tiny({"diagnostics": {"slow": None}}))
    assert diagnose(rows, off.diagnostics) == []


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"slow": {"mots": 3}}, "diagnostics.slow.mots: unknown key: did you mean most?"),
        ({"slow": {"most": 0}}, "diagnostics.slow.most: 0 must be greater than 0"),
        ({"slwo": {}}, "diagnostics.slwo: unknown key: did you mean slow"),
        ({"drop": "a"}, "diagnostics.drop: 'a' must be a number"),
        ({"slow": 3}, "diagnostics.slow: 3 must be a section, with keys such as most, column"),
        ({"stop_on": ["slo"]}, "diagnostics.stop_on: unknown detector 'slo': did you mean slow?"),
    ],
)
def test_a_mistake_in_its_section_is_one_line(
    section: dict[str, Any], message: str, tiny: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(UserError) as error:
        experiment_from(tiny({"diagnostics": section}))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_setting_without_default_is_asked_for(
    tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Needy(Component):
        limit: float

    monkeypatch.setitem(DETECTORS, "needy", Detector(lambda *_: None, Needy, "-", "-"))
    with pytest.raises(UserError, match=r"^diagnostics\.needy\.limit: is missing: give it a value"):
        experiment_from(tiny())


def test_it_may_have_no_settings(
    tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Finding("always", "warning", 0.0, 0.0, 0.0, "-", "always")
    always = Detector(lambda rows, config: found, Component, "-", "-")
    monkeypatch.setitem(DETECTORS, "always", always)
    assert diagnose([], experiment_from(tiny()).diagnostics) == [found]
    off = experiment_from(tiny({"diagnostics": {"always": None}})).diagnostics
    assert diagnose([], off) == []


def test_its_name_must_not_be_that_of_a_key(
    tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DETECTORS, "drop", SLOW)
    with pytest.raises(UserError, match="diagnostics: detector 'drop' has the name of a key"):
        experiment_from(tiny())


def test_a_column_that_no_report_has_is_refused() -> None:
    with pytest.raises(ValueError, match="a detector reads speed, which no report has"):
        Detector(slow, SlowConfig, "too many steps", "steps", columns=("step", "speed"))


def test_a_reader_without_the_plugin_leaves_its_detector_out(
    tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(DETECTORS, "slow", SLOW)
        changes = {"diagnostics": {"drop": 0.2, "stop_on": ["slow", "flat_line"]}}
        section = experiment_from(tiny(changes)).tree()["diagnostics"]
        assert evidence() == (*EVIDENCE, "learning_rate")
    assert evidence() == EVIDENCE
    rows = [{"progress": 1.0, "step": 20, "learning_rate": 0.1}]
    read = recorded(section)
    assert read == recorded(section)
    assert read.model_dump() == section
    assert diagnose(rows, read) == []
    tree = tiny({"diagnostics": section})
    with foreign_names():
        assert experiment_from(tree).tree()["diagnostics"] == section
    with pytest.raises(UserError, match=r"diagnostics\.slow: unknown key"):
        experiment_from(tree)
    assert type(recorded({})) is DiagnosticsConfig
