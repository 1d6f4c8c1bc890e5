from __future__ import annotations

import math
from typing import Any

import pytest

from trm.detectors import DETECTORS
from trm.detectors.evidence import EVIDENCE, noise
from trm.detectors.late_collapse import has_collapsed
from trm.diagnostics import DiagnosticsConfig, describe, diagnose
from trm.errors import UserError
from trm.report import COLUMNS, PROBED
from trm.validation import validate


def run(*accuracies: float, **columns: Any) -> list[dict[str, Any]]:
    """Rows of a run with these exact accuracies; the other columns the same in all."""
    count = len(accuracies)
    return [
        {"progress": (i + 1) / count, "exact_accuracy": a, "evaluated": 1000, **columns}
        for i, a in enumerate(accuracies)
    ]


def names(rows: list[dict[str, Any]], **config: Any) -> list[str]:
    return [finding.detector for finding in diagnose(rows, DiagnosticsConfig(**config))]


def test_every_detector_is_documented_and_reads_columns_that_exist() -> None:
    assert set(EVIDENCE) <= set(COLUMNS)
    for detector in DETECTORS.values():
        assert detector.definition
        assert detector.unit
        assert issubclass(DiagnosticsConfig, detector.config)


def test_rows_without_columns_or_with_nulls_are_no_evidence() -> None:
    assert diagnose([]) == []
    assert diagnose([{}, {}, {}]) == []
    empty: list[dict[str, Any]] = [dict.fromkeys(EVIDENCE) for _ in range(4)]
    assert diagnose(empty) == []
    blank = [{**row, "progress": 1.0, **dict.fromkeys(PROBED)} for row in run(0.5, 0.6, 0.7)]
    assert diagnose(blank) == []
    assert diagnose([{**row, "q_max": math.nan} for row in run(0.5, 0.6, 0.7)]) == []


def test_a_fall_within_noise_is_none() -> None:
    # At 0.5 of 1000 examples two deviations of a difference are 0.045.
    assert noise(0.5, 0.5, 1000) == pytest.approx(2 * math.sqrt(2 * 0.25 / 1000))
    assert names(run(0.3, 0.5, 0.5, 0.41)) == []
    assert names(run(0.3, 0.5, 0.5, 0.40)) == ["late_collapse"]
    few = [{**row, "evaluated": 100} for row in run(0.3, 0.5, 0.5, 0.40)]
    assert names(few) == []


def test_a_peak_is_what_two_reports_held() -> None:
    assert names(run(0.3, 0.9, 0.5, 0.5)) == []
    assert names(run(0.3, 0.9, 0.9, 0.5)) == ["late_collapse"]
    (finding,) = diagnose(run(0.3, 0.9, 0.9, 0.7, 0.6, 0.5))
    assert finding.at == pytest.approx(4 / 6)
    assert finding.value == pytest.approx(0.4)
    assert diagnose(run(0.3, 0.9, 0.9, 0.5, 0.9)) == []


def test_collapsed_is_losing_half_of_the_peak() -> None:
    config = DiagnosticsConfig()
    assert not has_collapsed(run(0.8, 0.8, 0.8, 0.45), config)
    assert has_collapsed(run(0.8, 0.8, 0.8, 0.39), config)
    assert not has_collapsed(run(0.8, 0.8, 0.8, 0.39), DiagnosticsConfig(collapse=None))
    assert has_collapsed(run(0.8, 0.8, 0.8, 0.39), DiagnosticsConfig(drop=None))
    # Half of next to nothing is noise.
    assert not has_collapsed(run(0.02, 0.02, 0.02, 0.0), config)


def test_a_peak_on_few_examples_may_be_luck() -> None:
    rows = run(0.3, 0.3, 0.3, 0.14)
    assert names(rows) == ["late_collapse"]
    for row in rows[:-1]:
        row["evaluated"] = 40
    assert names(rows) == []
    assert not has_collapsed(rows, DiagnosticsConfig())


def test_severity_says_whether_the_run_is_spoilt() -> None:
    (mild,) = diagnose(run(0.8, 0.8, 0.8, 0.6))
    (bad,) = diagnose(run(0.8, 0.8, 0.8, 0.1))
    assert (mild.severity, bad.severity) == ("warning", "failure")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"spectral_radius": 3.0}, []),
        ({"q_min": -80.0, "q_max": 1.0}, ["halting_collapse"]),
        ({"update_ratio": 0.5}, ["gradient_explosion"]),
        ({"grad_spike_ratio": 150.0}, ["gradient_explosion"]),
        ({"loss_spikes": 1, "loss_spike_ratio": 9.0}, []),
        ({"loss_spikes": 5, "loss_spike_ratio": 9.0}, ["loss_spike"]),
        ({"live_exact_accuracy": 0.3}, ["ema_dependence"]),
        ({"train_gap": 0.6}, ["overfit_plateau"]),
        ({"train_gap": 0.3}, []),
        ({"depth_drop": 0.5}, ["depth_divergence"]),
        ({"late_residual": 0.5, "settled": 0.1}, ["wandering_latent"]),
        ({"mean_steps": 4.0, "halt_auc": 0.9, "supervision_steps": 4}, ["halting_collapse"]),
        ({"mean_steps": 2.0, "halt_auc": 0.5, "supervision_steps": 4}, ["halting_collapse"]),
        ({"mean_steps": 2.0, "halt_auc": 0.8, "supervision_steps": 4}, []),
        ({"mean_steps": 1.0, "halt_auc": 0.5, "supervision_steps": 1}, []),
        ({"diverged": True, "train_gap": 0.9}, ["numeric_divergence"]),
    ],
)
def test_evidence_of_one_failure(columns: dict[str, Any], expected: list[str]) -> None:
    assert names(run(0.6, 0.7, 0.7, 0.7, **columns)) == expected


def test_easy_training_examples_are_no_overfitting() -> None:
    fitted = run(0.3, 0.3, 0.3, train_exact_accuracy=0.9)
    assert names(fitted) == ["overfit_plateau"]
    assert names([{**row, "train_difficulty": 0.5} for row in fitted]) == ["overfit_plateau"]
    assert names([{**row, "train_difficulty": 0.2} for row in fitted]) == []


def test_a_gap_of_a_few_examples_hides_none_of_many() -> None:
    fitted = run(0.5, 0.5, 0.5, train_exact_accuracy=0.8)
    assert names(fitted) == ["overfit_plateau"]
    # 0.35 of 32 examples is within its noise; the 0.3 of a thousand is not.
    assert names([{**row, "train_gap": 0.35} for row in fitted]) == ["overfit_plateau"]


def test_a_probe_has_no_more_examples_than_are_evaluated() -> None:
    # Of 32 examples 0.5 and 0.05 differ by up to 0.19 by chance, of 8 by up to 0.41.
    lost = run(0.5, 0.5, 0.5, depth_drop=0.45)
    assert names(lost) == ["depth_divergence"]
    assert names([{**row, "evaluated": 8} for row in lost]) == []


def test_thinking_longer_than_a_curriculum_trained_is_no_halting_collapse() -> None:
    columns = {"mean_steps": 5.0, "halt_auc": 0.9}
    assert names(run(0.7, 0.7, 0.7, supervision_steps=4, **columns)) == []
    assert names(run(0.7, 0.7, 0.7, supervision_steps=5, **columns)) == ["halting_collapse"]


def test_a_radius_that_grows_is_depth_divergence() -> None:
    rows = run(0.6, 0.7, 0.7, 0.7)
    for row, radius in zip(rows, (0.5, None, 1.0, 3.0), strict=True):
        row["spectral_radius"] = radius
    assert names(rows) == ["depth_divergence"]
    assert names(rows, radius_limit=None) == []
    assert names(rows, radius_limit=4.0) == []
    rows[0]["spectral_radius"] = 4.0
    assert names(rows) == [], "it has fallen"
    rows[0]["spectral_radius"], rows[-1]["spectral_radius"] = 0.4, 0.9
    assert names(rows) == [], "it contracts"


def test_flat_only_if_cells_stand_still_too() -> None:
    rows = run(0.0, 0.0, 0.0, 0.0)
    for row, cells in zip(rows, (0.2, 0.4, 0.41, 0.405), strict=True):
        row["cell_accuracy"] = cells
    assert names(rows) == ["flat_line"]
    rows[-1]["cell_accuracy"] = 0.5
    assert names(rows) == []


def test_described_in_a_line_each() -> None:
    text = describe(diagnose(run(0.8, 0.8, 0.8, 0.1, update_ratio=0.5)))
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "warning at 25%", "failure at 100%",
    ]  # fmt: skip
    assert describe([]) == "no failure found"


def test_a_detector_to_stop_on_must_exist() -> None:
    with pytest.raises(UserError, match=r"unknown detector 'late_colapse'.*late_collapse"):
        validate(DiagnosticsConfig, {"stop_on": ["late_colapse"]}, "diagnostics")
