"""Rungs against the end: the recorded curves, planted inversions, and survivors alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from search.analysis.fidelity import RungScores, fidelity, measure, run_curves
from search.cli import main
from search.commands.understand.fidelity import _text
from search.config.plan import Plan, simulated_plan, write_plan
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.ledger.trial import StageName
from search.simulator.recording import read_recording
from search.stats.rank_correlation import correlate, unrestricted
from tests.support.folders import DATA
from tests.support.recordings import TREE, row

RECORDING = DATA / "recordings" / "arrows4.parquet"
ASHA = {"trials": 40, "scheduler": {"name": "asha", "eta": 2, "min_share": 0.25}}


def plan(scheduler: dict[str, Any] | None = None) -> Plan:
    search = {**ASHA, **({} if scheduler is None else {"scheduler": scheduler})}
    return simulated_plan({**TREE, "search": search})


def test_the_recording_says_which_column_moves_early() -> None:
    (rung,) = fidelity(RECORDING).rungs
    assert rung.share == 0.25
    seen = {column: found.spearman.value for column, found in rung.by.items()}
    expected = {"exact_accuracy": 0.65, "cell_accuracy": 0.69, "lm_loss": 0.75, "train_loss": 0.82}
    assert seen == pytest.approx(expected, abs=0.02)
    assert rung.best == "train_loss"
    assert rung.warning == ""
    assert rung.by["exact_accuracy"].stopped == 0
    # The same by hand: every run's report at a quarter against its config's mean at the end.
    recording = read_recording(RECORDING)
    runs = [(c, run) for (c, _), run in sorted(recording.runs.items())]
    early = [next(r for r in run.rows if r["progress"] >= 0.25)["cell_accuracy"] for _, run in runs]
    ends = [run.rows[-1]["exact_accuracy"] for _, run in runs]
    means = np.repeat(np.reshape(ends, (-1, 6)).mean(axis=1), 6)
    assert seen["cell_accuracy"] == pytest.approx(
        stats.spearmanr(early, means).statistic, abs=1e-12
    )
    kendall = rung.by["cell_accuracy"].kendall
    assert kendall.value == pytest.approx(stats.kendalltau(early, means).statistic, abs=1e-12)
    assert kendall.low < kendall.value < kendall.high


def curves(rng: np.random.Generator, sign: float, count: int = 40) -> list[RungScores]:
    """Exact accuracy at the rung foretells the end by `sign`; the training loss foretells it."""
    found = []
    for number in range(count):
        end = rng.uniform()
        at = row(1, 0.25, 0.5 + 0.3 * sign * (end - 0.5) + rng.normal(0, 0.05))
        at["train_loss"] = 1 - end
        found.append(RungScores(number, {0: at}, end))
    return found


def test_a_rung_that_ranks_the_wrong_way_round_is_named_with_the_column_to_use() -> None:
    rng = np.random.default_rng(1)
    (rung,) = measure(plan(), curves(rng, -1.0)).rungs
    assert "wrong way round" in rung.warning
    assert "exact_accuracy" in rung.warning
    assert "train_loss ranks best" in rung.warning
    (good,) = measure(plan(), curves(rng, 1.0)).rungs
    assert good.warning == ""
    by_loss = plan({**ASHA["scheduler"], "metric": "train_loss"})  # type: ignore[dict-item]
    (rung,) = measure(by_loss, curves(rng, -1.0)).rungs
    assert rung.warning == ""
    assert rung.by["train_loss"].spearman.value == pytest.approx(1.0)


def test_noise_at_a_rung_is_a_warning_once_it_is_certain() -> None:
    rng = np.random.default_rng(2)
    noise = [
        RungScores(c.config, {0: row(1, 0.25, rng.uniform())}, c.end) for c in curves(rng, 1, 400)
    ]
    assert measure(plan(), noise).warnings
    assert not measure(plan(), noise[:6]).warnings, "too few trials to say so"


def test_what_survivors_show_is_corrected_for_their_selection() -> None:
    rng = np.random.default_rng(3)
    n, true = 2000, 0.7
    early = rng.normal(size=n)
    end = true * early + np.sqrt(1 - true**2) * rng.normal(size=n)
    other = 0.8 * early + 0.6 * rng.normal(size=n)
    whole = stats.spearmanr(early, end).statistic
    whole_other = stats.spearmanr(other, end).statistic
    seen = np.where(early >= np.quantile(early, 0.75), end, np.nan)
    found = correlate(early, seen, early, np.arange(n), draws=40)
    assert found.trials == 500
    assert found.stopped == 1500
    assert found.spearman.value < whole - 0.2, "the restriction bites"
    assert found.corrected is not None
    assert found.corrected.value == pytest.approx(whole, abs=0.06)
    assert found.corrected.low < whole < found.corrected.high
    indirect = correlate(other, seen, early, np.arange(n), draws=40)
    assert indirect.corrected is not None
    assert indirect.corrected.value == pytest.approx(whole_other, abs=0.06)
    assert indirect.spearman.value < whole_other - 0.2


def test_the_correction_by_hand() -> None:
    r, u = 0.4, 2.5
    assert unrestricted(r, 1.0, r, u) == pytest.approx(r * u / np.sqrt(1 + r**2 * (u**2 - 1)))
    assert unrestricted(0.3, 0.2, 0.1, 1.0) == pytest.approx(0.3)


def test_seeds_of_a_config_are_not_taken_for_independent() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=20), rng.normal(size=20)
    once = correlate(x, y, x, np.arange(20))
    copied = [np.repeat(v, 10) for v in (x, y, x)]
    again = correlate(*copied, np.repeat(np.arange(20), 10))
    widths = [found.spearman.high - found.spearman.low for found in (once, again)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


@pytest.mark.parametrize(
    ("early", "end", "why"),
    [
        (np.zeros(10), np.arange(10.0), "all 10 trials have the same value at the rung"),
        (np.arange(10.0), np.full(10, 0.3), "all 10 trials have the same value at the end"),
        (np.arange(3.0), np.zeros(3), "all 3 trials have the same value at the end"),
        (np.arange(9.0), 0.1 + 1e-17 * np.arange(9), "all 9 trials have the same value at the end"),
        (np.arange(9.0), np.array([0.5] * 3 + [math.nan] * 6), "all 3 trials have the same value"),
        (np.arange(9.0), np.array([0.5] + [math.nan] * 8), "1 trial ran to the end"),
    ],
)
def test_what_is_undefined_says_why(early: np.ndarray, end: np.ndarray, why: str) -> None:
    found = correlate(early, end, early, np.arange(len(early)))
    assert (found.spearman, found.kendall, found.best_estimate) == (None, None, None)
    assert found.undefined.startswith(why)


def test_means_that_differ_by_rounding_are_equal() -> None:
    """The mean of three seeds at 0.1 is another float than 0.1."""
    end = np.array([0.1, np.mean([0.1] * 3)] * 5)
    assert len(np.unique(end)) == 2
    assert correlate(np.arange(10.0), end, np.arange(10.0), np.arange(10)).undefined


def test_resamples_that_are_constant_do_not_count() -> None:
    """One of many differs: a third of the resamples do not have it and say nothing."""
    end = np.array([1.0] + [0.0] * 11)
    found = correlate(np.arange(12.0)[::-1], end, np.arange(12.0), np.arange(12))
    assert found.spearman is not None
    assert -0.2 < found.spearman.low <= found.spearman.value < found.spearman.high < 0.9


def test_constant_scores_are_no_bad_ranking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = plan()
    rng = np.random.default_rng(5)
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, own)
        for number in range(20):
            params = own.space.sample(rng)[0]
            trial = ledger.add_trial(
                stage="explore", params=params, config=own.space.apply(params), seed=0
            )
            attempt = ledger.begin_attempt(trial.id)
            ledger.acknowledge(trial.id, attempt, row(1, 0.25, float(rng.uniform())))
            if number % 4 == 0:
                ledger.finish(trial.id, "pruned", 0.5)
                continue
            ledger.acknowledge(trial.id, attempt, row(2, 1.0, 0.5))
            ledger.finish(trial.id, "completed", 0.5)
    run = str(tmp_path / "run")
    assert main(["fidelity", run]) == 0
    shown = capsys.readouterr().out
    assert "undefined: all 15 trials have the same value at the end" in shown
    assert "badly" not in shown
    assert "best here" not in shown
    assert main(["status", run]) == 0
    assert "early stopping" not in capsys.readouterr().out
    assert main(["fidelity", run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rungs"][0]
    assert found["by"]["exact_accuracy"]["spearman"] is None
    assert (found["best"], found["warning"]) == ("", "")
    assert main(["importance", run]) == 0
    assert "every config has the same score" in capsys.readouterr().out
    assert main(["report", run, "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Its correlation is undefined at 25" in page


def test_a_crowd_is_thinned_rung_by_rung_and_says_so() -> None:
    rng = np.random.default_rng(7)
    crowd = curves(rng, 1.0, 90)
    whole = measure(plan(), crowd)
    assert whole.thinning == ""
    assert "take part" not in _text(whole)
    some = measure(plan(), crowd, most=30)
    own = some.rungs[0].by["exact_accuracy"]
    assert (own.trials, own.stopped, own.used, own.known) == (30, 0, 30, 90)
    assert some.thinning == (
        "Of the trials that reached a rung, some take part, evenly spread: 30 of 90 at 25%."
    )
    assert some.thinning in _text(some).splitlines()
    assert measure(plan(), crowd, most=90) == whole


def test_status_warns_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    own = plan()
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, own)
        for number in range(30):
            end = float(rng.uniform(0.2, 0.8))
            first = 1 - end + float(rng.normal(0, 0.02))
            params = own.space.sample(rng)[0]
            trial = ledger.add_trial(
                stage="explore", params=params, config=own.space.apply(params), seed=0
            )
            attempt = ledger.begin_attempt(trial.id)
            ledger.acknowledge(trial.id, attempt, row(1, 0.25, first))
            if number % 3 == 0:
                ledger.finish(trial.id, "pruned", first)
                continue
            ledger.acknowledge(trial.id, attempt, row(2, 1.0, end))
            ledger.finish(trial.id, "completed", end)
    run = str(tmp_path / "run")
    assert main(["status", run]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "early stopping:" in line]
    assert len(lines) == 1
    assert "at 25%" in lines[0]
    assert "wrong way round" in lines[0]
    assert main(["fidelity", run]) == 0
    shown = capsys.readouterr().out
    assert "20 of 30" in shown
    assert "Thorndike" in shown
    assert main(["fidelity", run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stops"]
    assert found["rungs"][0]["by"]["exact_accuracy"]["stopped"] == 10


def test_a_population_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fidelity", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, plan({"name": "pbt"}))
    assert main(["fidelity", str(tmp_path / "run")]) == 2
    assert "pbt" in capsys.readouterr().err


def test_what_is_varied_around_the_winner_is_no_seed_of_it() -> None:
    own, book = plan(), Book()
    params, tree = own.space.default()

    def run(stage: StageName, candidate: int | None, seed: int, end: float) -> None:
        trial = book.add_trial(
            stage=stage, params=params, config=tree, seed=seed, candidate=candidate
        )
        attempt = book.begin_attempt(trial.id)
        book.acknowledge(trial.id, attempt, row(1, 0.25, end))
        book.finish(trial.id, "completed", end)

    run("explore", None, 0, 0.8)
    run("confirm", 0, 1, 0.6)
    run("sensitivity", 0, 3001, 0.0)
    (found,) = run_curves(own, book)
    assert found.end == pytest.approx(0.7)


def test_the_interval_of_a_few_that_agree_is_wide() -> None:
    """All resamples agree too, so that a bootstrap alone would be sure of 1."""
    ranks = np.arange(6.0)
    found = correlate(ranks, ranks, ranks, np.arange(6))
    assert found.spearman is not None
    assert found.spearman.value == pytest.approx(1.0)
    assert found.spearman.low < 0.8
    many = np.arange(200.0)
    sure = correlate(many, many, many, np.arange(200)).spearman
    assert sure is not None
    assert sure.low > 0.99
