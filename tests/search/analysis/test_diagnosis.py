"""What failure detectors do to a sweep: outcomes, reasons, judging by what is diagnosed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curricula.component import Component
from search.analysis.diagnosis import count_findings, diagnose_book, diagnose_folder
from search.engine.attempts.collapse import Diagnosis, collapse_reason
from search.ledger.ledger import Ledger
from search.ledger.reader import read_book
from search.objectives.constraint import Constraint, parse_constraint, violations
from search.objectives.objective import Objective
from tests.search.engine.test_execution import execution, report
from tests.support.folders import RUNS_V1
from tests.support.planned import planned
from trm.detectors import DETECTORS
from trm.detectors.detector import Detector, Finding
from trm.errors import UserError
from trm.files.run_folder import latest_checkpoint
from trm.run.training import train


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "run") as ledger:
        ledger.add_trial(stage="explore", params={}, config={}, seed=5)
        yield ledger


ACCURACIES = (0.8, 0.9, 0.9, 0.1)


def test_a_collapsed_run_fails_at_the_floor_with_its_diagnosis(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    for mark, accuracy in enumerate(ACCURACIES, 1):
        last = mark == len(ACCURACIES)
        values = {"exact_accuracy": accuracy, "progress": mark / 4, "collapsed": last}
        answer = run.on_message("a", report(1, mark, last=last, **values))
        assert answer == ("stop" if last else "continue")
    trial = ledger.trials[0]
    assert (trial.outcome, trial.score) == ("collapsed", -1.0)
    assert trial.reason.startswith("late collapse: exact accuracy fell from 0.900 to 0.100")
    assert run.source.judged == [1, 2, 3], "what failed is not ranked"  # type: ignore[attr-defined]
    (found,) = diagnose_book(ledger)
    assert found.outcome == "collapsed"
    assert count_findings([found])["late_collapse"] == 1


STALLED = {
    "detector": "stalled", "severity": "warning", "at": 0.5, "value": 0.0, "threshold": 0.1,
    "unit": "share", "words": "it stands still",
}  # fmt: skip


def test_what_a_plugins_detector_said_is_told_without_the_plugin(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Ledger.create(folder) as ledger:
        for parent in (None, 0):
            ledger.add_trial(stage="population", params={"parent": parent}, config={}, seed=5)
            run = execution(ledger)
            run.suggest("a")
            mark = len(ledger.trials)
            message = report(1, mark, last=True) | {"findings": [STALLED]}
            run.on_message("a", message)
        first, second = diagnose_book(ledger)
    assert [finding.words for finding in first.findings] == ["it stands still"]
    assert second.findings == (), "its parent has told of it"
    with Ledger.open(folder) as ledger:
        assert ledger.trials[0].findings == [STALLED]
        assert diagnose_book(ledger)[0] == first
    assert diagnose_book(read_book(folder))[0] == first


def test_a_collapse_that_a_killed_driver_did_not_record_is_one_still(ledger: Ledger) -> None:
    attempt = ledger.begin_attempt(0)
    ledger.acknowledge(0, attempt, report(1, 1, collapsed=True)["row"])
    run = execution(ledger)
    assert run.suggest("b") == "finished"
    assert ledger.trials[0].outcome == "collapsed"


def test_a_stretch_of_a_population_is_judged_with_the_reports_that_it_goes_on_from(
    tmp_path: Path,
) -> None:
    curves = {0: (0.8, 0.9, 0.9), 1: (0.1,), 2: (0.9,), 3: (0.1,)}
    parents = {0: None, 1: 0, 2: 0, 3: 1}
    with Ledger.create(tmp_path / "run") as ledger:
        mark = dict.fromkeys(curves, 0)
        for number, accuracies in curves.items():
            parent = parents[number]
            ledger.add_trial(stage="population", params={"parent": parent}, config={}, seed=5)
            attempt = ledger.begin_attempt(number)
            mark[number] = 0 if parent is None else mark[parent]
            for accuracy in accuracies:
                mark[number] += 1
                values = {"exact_accuracy": accuracy, "progress": mark[number] / 5}
                ledger.acknowledge(number, attempt, report(1, mark[number], **values)["row"])
        found = {one.trial: [f.detector for f in one.findings] for one in diagnose_book(ledger)}
        assert "late_collapse" in found[1], "the peak is its parent's"
        assert "late_collapse" not in found[2]
        assert "late_collapse" not in found[3], "its parent had it"
        reason = collapse_reason(ledger, ledger.trials[1])
        assert reason.startswith("late collapse: exact accuracy fell from 0.900 to 0.100")


def test_columns_that_a_report_lacks_keep_no_bound() -> None:
    constraint = Constraint.model_validate(parse_constraint("spectral_radius <= 1"))
    rows = [{"spectral_radius": 0.5}, {"spectral_radius": None}, {}]
    assert violations([constraint], rows[:1])["spectral_radius <= 1"] < 0
    for missing in rows[1:]:
        assert violations([constraint], [rows[0], missing])["spectral_radius <= 1"] > 1e9
    drop = Constraint.model_validate(parse_constraint("drop_from_peak <= 0.05"))
    assert violations([drop], [{"drop_from_peak": 0.1}])[drop.text()] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("column", "direction"),
    [
        ("findings", "minimize"), ("drop_from_peak", "minimize"), ("spectral_radius", "minimize"),
        ("settled", "maximize"), ("exact_accuracy_4x", "maximize"),
    ],
)  # fmt: skip
def test_what_is_diagnosed_has_a_better_end(column: str, direction: str) -> None:
    assert Objective(column=column).resolved_direction == direction


def test_trials_are_judged_by_probes_only_where_every_report_has_them(
    tiny: Any, cache: Path
) -> None:
    changes = {
        "optimizer.lr": {"loguniform": [1e-3, 1e-2]},
        "search": {"constraints": ["spectral_radius <= 1"]},
    }
    with pytest.raises(UserError, match=r"'spectral_radius' is not in every report: set"):
        planned(tiny(changes))
    tree = tiny({**changes, "diagnostics.probe": "reports"})
    assert planned(tree).default.diagnostics.probe == "reports"


@pytest.mark.parametrize(
    ("search", "diagnostics", "message"),
    [
        ({"scheduler": {"name": "asha", "metric": "settled"}}, {},
         r"search\.scheduler\.metric: 'settled' is not in every report: set diagnostics\.probe"),
        ({"objective": ["exact_accuracy", "exact_accuracy_8x"]}, {"probe": "reports"},
         r"'exact_accuracy_8x' is in no report: set diagnostics\.beyond to 8"),
        ({"constraints": ["spectral_radius <= 1"]}, {"probe": "reports", "radius_examples": 0},
         r"'spectral_radius' is in no report: set diagnostics\.radius_examples"),
        ({"constraints": ["depth_drop <= 0.1"]}, {"probe": "reports", "beyond": 1},
         r"'depth_drop' is in no report: set diagnostics\.beyond to 2"),
    ],
)  # fmt: skip
def test_trials_are_not_judged_by_what_is_never_measured(
    tiny: Any, cache: Path, search: dict[str, Any], diagnostics: dict[str, Any], message: str
) -> None:
    tree = tiny({"optimizer.lr": {"loguniform": [1e-3, 1e-2]}, "search": search})
    tree["diagnostics"] = diagnostics
    with pytest.raises(UserError, match=message):
        planned(tree)


def test_a_folder_that_holds_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no training"):
        diagnose_folder(tmp_path)
    with pytest.raises(UserError, match="holds no sweep"):
        diagnose_folder(tmp_path, trial=3)


def test_an_old_run_is_diagnosed_by_what_it_has() -> None:
    runs = RUNS_V1
    diagnoses = diagnose_folder(runs / "finished")
    assert len(diagnoses) > 3
    assert {one.outcome for one in diagnoses} >= {"completed", "pruned"}
    with pytest.raises(UserError, match="no reports in"):
        diagnose_folder(runs / "finished", trial=999)


def test_a_training_is_diagnosed_without_the_plugin_of_its_detector(
    tiny: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always = Finding("always", "warning", 1.0, 1.0, 0.0, "-", "always")
    detector = Detector(lambda rows, config: always, Component, "always", "-")
    with monkeypatch.context() as patch:
        patch.setitem(DETECTORS, "always", detector)
        training = train(tiny({"diagnostics.stop_on": ["loss_spike"]}), tmp_path / "out")
        assert training.last["findings"] == 1
        assert diagnose_folder(tmp_path / "out")[0].findings == (always,)
    checkpoint = latest_checkpoint(tmp_path / "out")
    for folder in (tmp_path / "out", checkpoint):
        assert diagnose_folder(str(folder)) == [Diagnosis(None, "", ())]
