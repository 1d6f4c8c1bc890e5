"""The page of a sweep that bred a population, from a tiny one that was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.report.facts import Facts, read_facts
from search.report.headline import headline
from search.report.population import population
from search.report.write import sections, write_report
from tests.support.bred import bred


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return read_facts(bred(tmp_path_factory.mktemp("bred") / "run"))


def test_the_section_is_the_population(facts: Facts) -> None:
    section = population(facts)
    assert section is not None
    (picture,) = section.pictures
    trials = facts.of_stage("population")
    assert len(trials) == 12
    goes_on, takes_over, members, line, star = picture.panels[0].figure.data
    assert sorted(members.y) == sorted(trial.score for trial in trials)
    assert {(c[0], x) for c, x in zip(members.customdata, members.x, strict=True)} == {
        (trial.id, trial.params["generation"]) for trial in trials
    }
    by_id = facts.trials
    taken = [
        trial for trial in trials if trial.params["parent"] is not None
        and by_id[trial.params["parent"]].params["member"] != trial.params["member"]
    ]  # fmt: skip
    assert taken
    assert takes_over.x.count(None) == len(taken)
    assert goes_on.x.count(None) == len(trials) - 4 - len(taken)
    assert picture.says.startswith(f"{len(taken)} take-over")
    assert "in 3 generations." in picture.says
    best = facts.best
    assert best is not None
    assert list(line.x) == [0, 1, 2]
    assert (star.x, star.y, star.marker.symbol) == ((2,), (best.score,), "star")
    assert line.y[-1] == best.score == max(t.score or 0.0 for t in trials
                                           if t.params["generation"] == 2)  # fmt: skip
    assert picture.table is not None
    rows = {row[0]: row for row in picture.table.rows}
    assert set(rows) == {f"trial {trial.id}" for trial in trials}
    last = taken[-1]
    assert rows[f"trial {last.id}"][3] == f"trial {last.params['parent']}"
    assert "L_cycles" in rows[f"trial {last.id}"][5]


def test_the_page_is_whole(facts: Facts) -> None:
    found = {section.name: section for section in sections(facts)}
    assert {"population", "curves", "costs", "reproduce"} <= set(found)
    assert not {"importance", "fidelity", "slices", "sensitivity"} & set(found)
    for section in found.values():
        for picture in section.pictures:
            assert picture.says.rstrip().endswith(".")
            assert "nan" not in picture.says.lower().split(), picture.says
    head = headline(facts)
    assert head.verdict.startswith(f"No winner yet. Trial {facts.best.id} leads")  # type: ignore[union-attr]
    assert not {"generation", "member", "parent"} & set(head.params)
    html = Path(str(write_report(facts.folder))).read_text()
    assert 'id="figure-population"' in html


def test_a_curve_is_that_of_the_weights(facts: Facts) -> None:
    """The best stretch goes on from others; so does each faint line."""
    best = facts.best
    assert best is not None
    line = [best]
    while (parent := line[-1].params["parent"]) is not None:
        line.append(facts.trials[parent])
    found = {section.name: section for section in sections(facts)}
    faint, bold = found["curves"].pictures[0].panels[0].figure.data
    # Reports come at the first step past a mark; the figure is at the marks.
    assert list(bold.y) == pytest.approx([t.score for t in reversed(line)], abs=5e-3)
    assert len(bold.x) == len(facts.plan.marks) == 3
    stretches = " ".join("|" if y is None else f"{y:.6f}" for y in faint.y).split("|")
    begun = facts.trials[line[1].id]
    assert f"{begun.score:.6f} {best.score:.6f}" in [stretch.strip() for stretch in stretches]
    assert found["curriculum"].pictures[0].table is not None
    assert len(found["curriculum"].pictures[0].table.rows) == 3


def test_a_population_that_has_just_begun(tmp_path: Path) -> None:
    facts = read_facts(bred(tmp_path / "run", 2))
    section = population(facts)
    assert section is not None
    assert section.pictures[0].says.startswith("0 take-overs in 1 generation.")
    head = headline(facts)
    assert (
        head.verdict == "No winner yet: no trial of the search has run to its end without failing."
    )
    assert any("trials are drawn" in line for line in head.missing)
    assert [section.name for section in sections(facts)]
