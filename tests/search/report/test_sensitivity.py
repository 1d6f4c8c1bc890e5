"""The sensitivity section, drawn from what the product writes: figures, tables and words."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from search.ledger.files import SPARE
from search.ledger.reader import read_trials
from search.ledger.trial import Trial
from search.report.facts import read_facts
from search.report.section import Panel, Picture, Section
from search.report.sensitivity import sensitivity
from search.report.theme import FAILED, VERMILION
from search.stability.result import read_result
from search.stability.sensitivity_design import Request
from search.stability.sensitivity_result import SENSITIVITY_FILE, Sensitivity, read_sensitivity
from tests.support.further import vary
from tests.support.reported import LR, TREE, made

HEADS, CYCLES, DECAY = "model.num_heads", "model.L_cycles", "optimizer[adamw].weight_decay"
OAT = Request(radius=0.5, seeds=2)
FAILS_ABOVE, FALLS_BELOW = 0.026, 0.012


def score(trial: Trial) -> float | None:
    """A cliff to either side of the winner's learning rate, the upper one of failures."""
    lr = trial.params.get(LR, 0.02)
    if lr > FAILS_ABOVE and trial.seed % 2:
        return None
    good = 0.85 - 0.3 * (lr < FALLS_BELOW) - 0.2 * (trial.params["optimizer"] != "adamw")
    return good + (0.002 if trial.seed % 2 else -0.002)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with a winner of four heads, in whose place three make no model."""
    tree = deepcopy(TREE)
    tree["model"] |= {
        "mixer": "attention", "num_heads": {"choice": {"options": [2, 3, 4], "default": 2}}
    }  # fmt: skip
    run = made(tmp_path_factory.mktemp("varied") / "run", 60, tree=tree)
    result = read_result(run)
    assert result is not None
    winner = read_trials(run)[result.winner].params
    assert winner[HEADS] == "4"
    assert FALLS_BELOW < winner[LR] < FAILS_ABOVE
    return run


@pytest.fixture(scope="module")
def found(swept: Path) -> Sensitivity:
    return vary(swept, OAT, score)


@pytest.fixture(scope="module")
def section(swept: Path, found: Sensitivity) -> Section:
    section = sensitivity(read_facts(swept))
    assert section is not None
    return section


@pytest.fixture
def run(swept: Path, found: Sensitivity, tmp_path: Path) -> Path:
    """A copy of the sweep to go on with."""
    return Path(shutil.copytree(swept, tmp_path / "run"))


def drawn(run: Path) -> list[Picture]:
    section = sensitivity(read_facts(run))
    assert section is not None
    return list(section.pictures)


def figure_of(picture: Picture, name: str) -> Any:
    (panel,) = (panel for panel in picture.panels if panel.title == name)
    return panel.figure


def cells(picture: Picture) -> list[list[str]]:
    assert picture.table is not None
    return [list(row) for row in picture.table.rows]


def test_a_parameters_figure_is_its_points(section: Section, found: Sensitivity) -> None:
    figure = figure_of(section.pictures[0], LR)
    (lr,) = (one for one in found.responses if one.name == LR)
    seeds, means, *_ = figure.data
    assert list(seeds.y) == [s for point in lr.points for s in point.scores]
    assert list(means.x) == [point.value for point in lr.points]
    assert list(means.y) == pytest.approx([sum(p.scores) / 2 for p in lr.points])
    (crosses,) = (trace for trace in figure.data if trace.name == "failed")
    assert crosses.marker.symbol == FAILED.symbol
    assert list(crosses.x) == [p.value for p in lr.points if p.failures] == [lr.points[-1].value]
    cliffs = [trace for trace in figure.data if trace.name == "cliff"]
    assert [list(trace.x) for trace in cliffs] == [[c.near, c.far] for c in lr.cliffs]
    assert {trace.line.color for trace in cliffs} == {VERMILION}
    assert [trace.y[1] - trace.y[0] for trace in cliffs] == pytest.approx(
        [c.change for c in lr.cliffs]
    )
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.ticktext[0] == "0.01"
    green, winner = figure.layout.shapes
    assert (green.x0, green.x1) == tuple(lr.safe)
    assert winner.x0 == winner.x1 == lr.winner


def test_options_are_in_their_places(section: Section) -> None:
    figure = figure_of(section.pictures[0], HEADS)
    assert list(figure.layout.xaxis.categoryarray) == ["2", "3", "4"]
    assert list(figure.data[1].x) == ["2", "4"]
    *green, winner = figure.layout.shapes
    assert [(shape.x0, shape.x1) for shape in green] == [(-0.4, 0.4), (1.6, 2.4)]
    assert winner.x0 == 2
    (note,) = figure.layout.annotations
    assert (note.text, note.x) == ("no model", 1)
    optimizers = figure_of(section.pictures[0], "optimizer")
    (cliff,) = (trace for trace in optimizers.data if trace.name == "cliff")
    assert list(cliff.x) == ["adamw", "adam_atan2"]


def test_scales_fit_their_parameters(section: Section) -> None:
    axes = {panel.title: panel.figure.layout for panel in section.pictures[0].panels}
    assert axes[CYCLES].xaxis.dtick == 1
    assert axes[CYCLES].xaxis.type is None
    assert axes[DECAY].xaxis.type == "log"
    assert axes["model.halt_exploration_prob"].xaxis.dtick is None
    assert len({tuple(layout.yaxis.range) for layout in axes.values()}) == 1
    assert axes[LR].yaxis.range[0] < 0 < 0.852 < axes[LR].yaxis.range[1]


def test_words_and_table_name_what_is_closed_first(section: Section, found: Sensitivity) -> None:
    (lr,) = (one for one in found.responses if one.name == LR)
    picture = section.pictures[0]
    low, high = (f"{end:.4g}" for end in lr.safe)
    assert picture.says.startswith(
        f"{LR} leaves the least room: safe is {low} to {high}, {lr.width:.0%} of its range."
    )
    assert f"Cliffs in {LR} and optimizer." in picture.says
    assert f"The margin is {found.margin:.3f}, of means over 2 seeds." in picture.says
    rows = {row[0]: row for row in cells(picture)}
    assert list(rows)[:3] == [LR, "optimizer", HEADS], "an open end is no narrow range"
    below, above = rows[LR][4].split("; ")
    assert below.endswith(": -0.300")
    assert above.endswith(f": {lr.cliffs[1].change:+.3f}, failed runs +50%")
    assert rows[HEADS][2:4] == ["2 and 4", "67%"]
    assert rows[CYCLES][2] == "1 or below to 4 or above"
    assert rows["optimizer"][2:] == ["adamw", "50%", "adamw to adam_atan2: -0.200"]


def test_every_value_is_listed_with_why_it_did_not_run(
    section: Section, found: Sensitivity
) -> None:
    picture = section.pictures[1]
    rows = cells(picture)
    assert len(rows) == sum(len(one.points) for one in found.responses)
    three = next(row for row in rows if row[:2] == [HEADS, "3"])
    assert three[2:5] == ["", "", ""]
    assert three[5].startswith("no model: ")
    assert "num_heads 3 must divide" in three[5]
    last = [row for row in rows if row[0] == LR][-1]
    assert last[2:5] == ["0.424", "0.000 0.848", "1 of 2"]
    assert [HEADS, "4 (winner)", "0.850"] in [row[:3] for row in rows]
    assert f"{found.failures:.0%} of the runs failed." in picture.says
    assert f"No model can be built with {HEADS} 3." in picture.says


def forget(run: Path) -> None:
    """As if there had been no analysis: a file whose second copy is there counts as lost."""
    for folder in (run, run / SPARE):
        (folder / SENSITIVITY_FILE).unlink()


def test_nothing_unsafe_and_one_seed(run: Path) -> None:
    forget(run)
    vary(run, Request(params=(CYCLES, DECAY), points=3, seeds=1), lambda trial: 0.852)
    picture = drawn(run)[0]
    assert "All values that were tried are safe. No cliff in 2 parameters." in picture.says
    assert "told by their size alone" in picture.says


def test_a_range_may_have_values_without_a_model(run: Path) -> None:
    """Such a note stands at the value on a logarithmic axis too."""
    tree = json.loads((run / SENSITIVITY_FILE).read_text())
    del tree["crc32"]
    (lr,) = (one for one in tree["oat"]["responses"] if one["name"] == LR)
    lr["points"][0] |= {"scores": [], "merits": [], "reason": "too low", "failures": 0}
    lr["points"][0]["value"] = 0.01
    lr["cliffs"] = []
    (run / SENSITIVITY_FILE).write_text(json.dumps(tree))
    (note,) = figure_of(drawn(run)[0], LR).layout.annotations
    assert note.x == pytest.approx(-2)


def test_changes_have_the_objectives_own_sign(tmp_path: Path) -> None:
    changes = {"objective": {"column": "lm_loss", "floor": 9.0}}
    run = made(tmp_path / "run", 30, changes=changes)
    request = Request(params=("curriculum.depth",))
    winner = read_result(run)
    assert winner is not None
    own = read_trials(run)[winner.winner].params["curriculum.depth"]
    vary(run, request, lambda t: 1.0 if t.params["curriculum.depth"] == own else 3.0)
    (row,) = cells(drawn(run)[0])
    assert row[2] == own
    assert row[4].endswith(": +2.000"), "the loss rises"


def test_sobols_indices_and_those_of_failing(run: Path) -> None:
    request = Request("sobol", points=32, seeds=1, radius=1, params=(LR, CYCLES, HEADS))
    found = vary(run, request, lambda t: None if t.params[CYCLES] > 4 else score(t))
    assert 1 < found.rows < 32
    assert set(read_sensitivity(run)) == {"oat", "sobol"}
    of_score, of_failing = drawn(run)[2:]
    for picture, by_name in ((of_score, found.score), (of_failing, found.failure)):
        order = sorted(by_name, key=lambda name: by_name[name].total.value)[::-1]
        assert [row[0] for row in cells(picture)] == order
        for row in cells(picture):
            index = by_name[row[0]]
            low, high = map(float, row[4].split(" to "))
            assert float(row[1]) == pytest.approx(index.first.value, abs=5e-3)
            assert float(row[3]) == pytest.approx(index.total.value, abs=5e-3)
            assert (low, high) == pytest.approx((index.total.low, index.total.high), abs=5e-3)
        whole, alone = picture.panels[0].figure.data
        assert list(whole.x) == [by_name[name].total.value for name in order[::-1]]
        assert list(alone.x) == [by_name[name].first.value for name in order[::-1]]
        assert whole.y[-1] == order[0]
        assert all(arm >= 0 for bar in (whole, alone) for arm in
                   (*bar.error_x.array, *bar.error_x.arrayminus))  # fmt: skip
    assert of_failing.title == "Sobol indices of failing"
    assert f"From {found.rows} rows of the design, 1 seed a config." in of_score.says
    assert of_failing.says.endswith(f"{found.failures:.0%} of the runs failed.")
    total = found.failure[CYCLES].total
    assert of_failing.says.startswith(
        f"{CYCLES} causes {total.value:.0%} of the variance of whether a run fails with its "
        f"interactions ({total.low:.0%} to {min(total.high, 1.0):.0%})"
    )


def test_a_design_without_a_row_says_so(run: Path) -> None:
    forget(run)
    request = Request("sobol", points=2, seeds=1, params=(CYCLES, LR))
    found = vary(run, request, None)
    assert found.rows == 0
    (picture,) = drawn(run)
    assert picture.panels == []
    assert picture.says.startswith("There are none: 0 rows of the design have scores")


def test_the_winner_may_have_changed(run: Path) -> None:
    result = read_result(run)
    assert result is not None
    other = next(c.trial for c in result.candidates if c.trial != result.winner)
    tree = json.loads((run / "result.json").read_text())
    del tree["crc32"]
    (run / "result.json").write_text(json.dumps({**tree, "winner": other}))
    section = sensitivity(read_facts(run))
    assert section is not None
    assert section.intro.startswith(
        f"The settings of trial {result.winner} (the winner now is trial {other}) varied"
    )


def test_a_run_without_an_analysis_has_no_section(finished: Path) -> None:
    assert sensitivity(read_facts(finished)) is None


def test_figures_have_names_of_their_own(section: Section) -> None:
    panels: list[Panel] = [panel for picture in section.pictures for panel in picture.panels]
    assert len({panel.name for panel in panels}) == len(panels) == 9
