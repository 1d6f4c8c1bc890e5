"""The section of ablations, drawn from their run folder: figure, table and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.config.config import read_config
from search.report.ablations import ablations
from search.report.facts import read_facts
from search.report.headline import headline
from search.report.section import Picture
from search.report.theme import PLAIN
from search.report.write import sections
from search.stability.ablation_arms import arms
from search.stability.claims import odds
from search.stats.intervals import difference
from tests.support.further import ABLATIONS, ablated

BASE = [0.80, 0.84, 0.82]
SCORES: dict[str, list[float | None]] = {
    "base": [*BASE],
    "no_act": [0.81, 0.85, 0.80],
    "wild": [None, None, 0.5],
    "softmax": [0.70, 0.69, 0.71],
    "one_step_gradient": [0.90, 0.92, 0.91],
    "late": [],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablated") / "run"
    ablated(folder, SCORES)
    return folder


def drawn(run: Path) -> Picture:
    section = ablations(read_facts(run))
    assert section is not None
    (picture,) = section.pictures
    return picture


def marks(picture: Picture) -> dict[str, Any]:
    """By ablation, its trace and its place there."""
    (panel,) = picture.panels
    return {
        name: (trace, index) for trace in panel.figure.data for index, name in enumerate(trace.y)
    }


def test_the_figure_is_welchs_difference(run: Path) -> None:
    found = marks(drawn(run))
    assert set(found) == {"no_act", "wild", "softmax", "one_step_gradient"}, "late has not run"
    for name, (trace, index) in found.items():
        expected = difference([s or 0.0 for s in SCORES[name]], BASE, 0.9, examples=500)
        assert trace.x[index] == pytest.approx(expected.mean)
        assert trace.x[index] + trace.error_x.array[index] == pytest.approx(expected.high)
        assert trace.x[index] - trace.error_x.arrayminus[index] == pytest.approx(expected.low)
        assert trace.name == f"its interval {'leaves out' if expected.settled else 'holds'} 0"
        assert (trace.marker.symbol == PLAIN.symbol) is expected.settled
    order = drawn(run).panels[0].figure.layout.yaxis.categoryarray
    assert list(order) == ["wild", "softmax", "no_act", "one_step_gradient"]


def test_the_words_sort_what_is_settled(run: Path) -> None:
    assert drawn(run).says == (
        "The base has a mean exact_accuracy of 0.820. Worse than the base (90% each): wild and "
        "softmax. Better than the base (90% each): one_step_gradient. 1 ablation neither. "
        "3 trials have not ended."
    )


def test_the_table_has_every_line(run: Path) -> None:
    table = drawn(run).table
    assert table is not None
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["base", "no_act", "wild", "softmax", "one_step_gradient", "late"]
    assert rows["base"]["difference"] == rows["base"]["changes"] == ""
    wild = rows["wild"]
    assert (wild["mean"], wild["failed"], wild["seeds"]) == ("0.167", "2 of 3", "0.000 0.000 0.500")
    assert wild["changes"] == "optimizer.lr 0.5, optimizer.weight_decay 0.0"
    assert rows["no_act"]["changes"] == "model.no_ACT_continue false"
    expected = difference([0.70, 0.69, 0.71], BASE, 0.9, examples=500)
    assert rows["softmax"]["difference"] == (
        f"-0.120 ({expected.low:+.3f} to {expected.high:+.3f})"
    )
    assert rows["softmax"]["beats the base"] == odds(expected.wins or 0)
    assert rows["no_act"]["seeds to settle"] == (
        f"{difference([0.81, 0.85, 0.80], BASE, 0.9, examples=500).seeds or ''}"
    )
    assert list(rows["late"].values())[1:5] == ["", "", "", ""]
    assert rows["late"]["failed"] == "0 of 0"


def test_less_of_a_loss_is_better(tmp_path: Path) -> None:
    scores: dict[str, list[float | None]] = {
        "base": [1.0, 1.1, 1.2], "wild": [5.0, 5.1, 5.2], "softmax": [0.5, 0.4, 0.6],
    }  # fmt: skip
    ablated(tmp_path / "run", scores, search={"objective": {"column": "lm_loss", "floor": 9.0}})
    picture = drawn(tmp_path / "run")
    assert "Worse than the base (90% each): wild." in picture.says
    assert "Better than the base (90% each): softmax." in picture.says
    trace, index = marks(picture)["wild"]
    assert trace.x[index] == pytest.approx(4.0)


def test_one_seed_so_far_has_no_interval(tmp_path: Path) -> None:
    ablated(tmp_path / "run", {"base": [0.8], "wild": [0.2]})
    trace, index = marks(drawn(tmp_path / "run"))["wild"]
    assert (trace.error_x.array[index], trace.error_x.arrayminus[index]) == (0, 0)
    assert trace.name == "its interval holds 0"


def test_what_the_built_in_set_leaves_out_is_named(tmp_path: Path) -> None:
    ablated(tmp_path / "run", {"base": [0.8]}, {"seeds": 2, "named": "paper"})
    picture = drawn(tmp_path / "run")
    assert "Left out: no_ema (" in picture.says, "the base has no EMA to go without"
    assert picture.panels == []


def test_their_page_has_what_ablations_have(run: Path) -> None:
    facts = read_facts(run)
    names = [section.name for section in sections(facts)]
    assert names[0] == "ablations"
    assert "failures" in names
    assert not {"race", "importance", "slices", "sensitivity"} & set(names)
    assert not {"curves", "halting", "depth"} & set(names), "they show a search and its winner"
    head = headline(facts)
    assert head.verdict.startswith("5 ablations of a base, over 0 to 3 seeds each")
    assert head.missing == []
    commands = sections(facts)[-1].code[0].text
    assert "trm ablate sweep.yaml --out runs/again" in commands
    again = arms(read_config(run / "sweep.yaml"))[0]
    assert [(arm.name, arm.changes) for arm in again[1:]] == [
        (name, changes) for name, changes in ABLATIONS["named"].items()
    ]


def test_a_sweep_has_no_such_section(finished: Path) -> None:
    assert ablations(read_facts(finished)) is None
