"""The course of a race on the page, from a race that was run over a ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.ledger.reader import read_trials
from search.report.facts import Facts, read_facts
from search.report.race import race
from search.report.race_course import course
from search.report.section import Picture
from search.stability.result import read_result
from search.stability.standing import lead
from tests.support.raced import raced


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raced(tmp_path_factory.mktemp("raced") / "run")


@pytest.fixture(scope="module")
def facts(run: Path) -> Facts:
    return read_facts(run)


def drawn(facts: Facts) -> Picture:
    assert facts.result is not None
    picture = course(facts, facts.result)
    assert picture is not None
    return picture


def test_a_line_ends_where_its_finalist_was_out(run: Path, facts: Facts) -> None:
    picture, result = drawn(facts), read_result(run)
    assert result is not None
    assert picture.table is not None
    rows = {row[0]: dict(zip(picture.table.columns, row, strict=True)) for row in
            picture.table.rows}  # fmt: skip
    assert len(rows) == len(result.candidates) == 6
    confirmed = sorted(
        (t for t in read_trials(run).values() if t.stage == "confirm"), key=lambda t: t.id
    )
    lines = {t.y[0]: t for t in picture.panels[0].figure.data if t.mode == "lines"}
    assert set(lines) == set(rows)
    gone = [name for name, row in rows.items() if row["out after"]]
    assert gone
    assert f"trial {result.winner} (winner)" not in gone
    for name, row in rows.items():
        number = int(name.split()[1])
        own = [index for index, t in enumerate(confirmed, 1) if t.candidate == number]
        assert row["seeds in all"] == str(len(own))
        (dots,) = (t for t in picture.panels[0].figure.data
                   if t.mode == "markers" and t.y[0] == name and t.meta)  # fmt: skip
        assert list(dots.x) == own
        end = lines[name].x[1]
        if name in gone:
            assert row["out after"] == f"{end} trials"
            assert row["why"] == "behind"
            assert own[-1] <= end, "one worker gives no run to who is out"
        else:
            assert (end, row["why"]) == (len(confirmed), "in to the end")
    left = len(rows) - len(gone)
    was = "was" if left == 1 else "were"
    assert picture.says.startswith(
        f"Of 6 finalists {left} {was} in to the end of {len(confirmed)} trials. After 12 trials "
        "trial "
    )


def test_it_stands_in_the_section_of_the_race(facts: Facts) -> None:
    section = race(facts)
    assert section is not None
    assert [picture.title for picture in section.pictures] == [
        "Finalists over fresh seeds", "Who left the race when"
    ]  # fmt: skip


def test_a_broken_constraint_is_named(tmp_path: Path) -> None:
    facts = read_facts(raced(tmp_path / "run", {"constraints": ["mean_steps <= 2"]}))
    assert facts.result is not None
    broken = [c.trial for c in facts.result.candidates if not c.feasible]
    assert broken
    table = drawn(facts).table
    assert table is not None
    named = [row[0] for row in table.rows if row[2] == "breaks a constraint"]
    assert sorted(named) == sorted(f"trial {trial}" for trial in broken)
    section = race(facts)
    assert section is not None
    assert facts.result.race is not None
    assert facts.result.race.ending == "separated"
    assert "could still be" not in section.pictures[0].says, "who may not win is no rival"
    others = len(facts.result.candidates) - len(broken) - 1
    assert f"ahead of the {others} other finalists that may win (90%)" in section.pictures[0].says


def test_where_all_have_the_same_seeds_there_is_no_course(tmp_path: Path, finished: Path) -> None:
    for run in (raced(tmp_path / "run", racing=False), finished):
        facts = read_facts(run)
        assert facts.result is not None
        assert course(facts, facts.result) is None


def test_the_winner_is_no_rival_of_its_own_where_another_leads_by_mean(facts: Facts) -> None:
    assert facts.result is not None
    scores = ([0.90, 0.91, 0.89, 0.90], [0.99, 0.84, 0.93, 0.86], [0.20, 0.21, 0.22, 0.19])
    some = [
        replace(candidate, scores=own, mean=sum(own) / 4)
        for candidate, own in zip(facts.result.candidates, scores, strict=False)
    ]
    result = replace(facts.result, candidates=some, winner=some[0].trial)
    assert some[1].mean > some[0].mean
    assert lead(facts.plan, result, facts.book).level == (some[1].trial,)
