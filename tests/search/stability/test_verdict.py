"""The verdict on runs in every state, and what each is told to do next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.config.plan import Plan, read_plan
from search.config.seeds import REFERENCE
from search.ledger.book import Book
from search.ledger.reader import read_book
from search.stability.failings import failings, own_trials
from search.stability.result import DepthLoss, Result, read_result
from search.stability.verdict import RunVerdict, verdict, verdict_on_other
from search.stability.verdict_text import verdict_text
from tests.support.reported import made

SURE = [0.91, 0.92, 0.90, 0.915]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Result, Book]:
    folder = made(tmp_path_factory.mktemp("verdict") / "run", 40)
    result = read_result(folder)
    assert result is not None
    first, *others = result.candidates
    clear = [replace(first, scores=SURE)] + [
        replace(one, scores=[score - 0.4 for score in SURE]) for one in others
    ]
    promise = replace(result.promise, scores=SURE, mean=0.911, low=0.88, high=0.94)
    reference = replace(result.reference, scores=[s - 0.3 for s in SURE])
    return (
        read_plan(folder),
        replace(result, candidates=clear, promise=promise, reference=reference),
        read_book(folder),
    )


def words(found: RunVerdict, weight: str) -> str:
    return "\n".join(one.words for one in found.reasons if one.weight == weight)


def test_a_sure_winner_is_for_use(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    found = verdict(plan, result, book, "runs/mine")
    assert (found.level, found.subject) == ("use it", f"trial {result.winner}")
    assert words(found, "care") == words(found, "against") == ""
    assert "ahead of the 3 other finalists (90%)" in words(found, "for")
    assert "ahead of your defaults (90%): better by 0.2" in words(found, "for")
    assert found.steps[0].command == "trm train runs/mine/best.yaml"
    box = verdict_text(found, 80)
    assert box.startswith(f"+-- Use it: trial {result.winner} -")
    assert max(map(len, box.splitlines())) == 80


def test_what_is_lost_deeper_asks_for_care(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    deep = replace(result.promise, deeper=DepthLoss(mean=0.5, worst=0.62, seeds=4))
    found = verdict(plan, replace(result, promise=deep), book, "r")
    assert found.level == "use it with care"
    assert "it loses 0.500 of exact accuracy, the worst of 4 seeds 0.620" in words(found, "care")
    assert "search.constraints" in found.steps[0].command
    held = replace(result.promise, deeper=DepthLoss(mean=0.0, worst=0.01, seeds=4))
    assert verdict(plan, replace(result, promise=held), book).level == "use it"


def test_detectors_of_the_winners_own_trials_are_heard(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    own = own_trials(plan, book, book.trials[result.winner])
    assert {trial.stage for trial in own} == {"confirm", "promise"}
    assert failings(book, own) == []
    ill = Book()
    ill.trials.update(book.trials)
    rows = {trial.id: book.curve(trial.id) for trial in own}
    for index, trial in enumerate(own):
        if index:
            rows[trial.id][-1] = {**rows[trial.id][-1], "depth_drop": 0.5 + 0.01 * index}
        ill._tail[trial.id] = rows[trial.id]
    found = verdict(plan, result, ill, "r")
    assert found.level == "use it with care"
    told = words(found, "care")
    assert "depth divergence in 7 of 8 trials of it, at worst: run deeper" in told
    assert "loses 0.57 of exact accuracy" in told


def test_rivals_and_defaults_that_are_as_good(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    first, second, *rest = result.candidates
    near = [replace(first, scores=[0.9, 0.95, 0.88]), replace(second, scores=[0.89, 0.93, 0.9])]
    open_one = replace(result, candidates=[*near, *rest])
    found = verdict(plan, open_one, book, "r")
    assert f"not ahead of trial {second.trial}: more seeds" in words(found, "care")
    assert found.steps[0].command.startswith("trm stability r --budget ")
    even = replace(result, reference=replace(result.reference, scores=[0.9, 0.93, 0.88, 0.95]))
    assert "not ahead of your defaults" in words(verdict(plan, even, book), "care")
    worse = replace(result, reference=replace(result.reference, scores=[s + 0.05 for s in SURE]))
    assert verdict(plan, worse, book).level == "not yet"
    assert "behind your defaults (90%): worse by 0.0" in words(
        verdict(plan, worse, book), "against"
    )


def test_what_nobody_should_use(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    broken = [replace(one, failures=len(one.scores)) for one in result.candidates]
    found = verdict(plan, replace(result, candidates=broken), book, "r")
    assert found.level == "not yet"
    assert found.reasons[0].words == "it ranks first, and is not fit for use: every seed failed"
    assert found.steps[0].command == "trm diagnose r"
    failed = replace(result.promise, failures=4)
    assert verdict(plan, replace(result, promise=failed), book).level == "not yet"


def test_less_than_half_and_no_better_than_the_defaults_is_not_yet(
    run: tuple[Plan, Result, Book],
) -> None:
    plan, result, book = run
    low = [0.03, 0.05, 0.02, 0.04]
    promise = replace(result.promise, scores=low, mean=0.035, low=0.007, high=0.06)
    even = replace(result.reference, scores=[0.04, 0.02, 0.05, 0.03])
    found = verdict(plan, replace(result, promise=promise, reference=even), book, "r")
    assert found.level == "not yet"
    assert "even 0.060 of exact_accuracy is less than half" in words(found, "against")
    assert "reaches exact_accuracy 0.007 to 0.060" in words(found, "so")
    assert found.steps[0].command == (
        f"trm sweep r/sweep.yaml --set train.budget.flops={4 * plan.budget:.3g} --out r-longer"
    )
    defaults = Book()
    defaults.trials.update(book.trials)
    defaults.trials[result.winner] = replace(
        book.trials[result.winner], params=plan.space.default()[0]
    )
    itself = verdict(plan, replace(result, promise=promise), defaults, "r")
    assert itself.level == "not yet"
    assert "your defaults themselves" in words(itself, "so")
    behind = replace(result.reference, scores=[0.0, 0.0, 0.001, 0.0])
    hard = verdict(plan, replace(result, promise=promise, reference=behind), book, "r")
    assert hard.level != "not yet", "a hard task: little, and yet more than the defaults reach"
    wide = replace(promise, high=0.62)
    assert verdict(plan, replace(result, promise=wide, reference=even), book).level != "not yet"


def test_a_run_without_a_winner(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    searched = Book()
    assert "nothing has run yet" in words(verdict(plan, None, searched), "against")
    searched.trials.update({n: t for n, t in book.trials.items() if t.searches})
    found = verdict(plan, None, searched, "runs/a b")
    assert found.level == "not yet"
    assert found.steps[0].command.startswith("trm sweep 'runs/a b'/sweep.yaml --out 'runs/a b'")
    other = verdict_on_other(book.trials[0], result)
    assert (other.level, other.steps[0].command) == ("not yet", "trm stability RUN --trials 0")


def test_the_defaults_themselves(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    default = next(c for c, t in book.trials.items() if t.params == plan.space.default()[0])
    won = replace(
        result,
        winner=default,
        candidates=[replace(result.candidates[0], trial=default)],
        promise=result.reference,
    )
    found = verdict(plan, won, book)
    assert "your defaults themselves" in words(found, "so")
    assert "no other finalist is there" in words(found, "so")
    own = own_trials(plan, book, book.trials[default])
    assert {trial.candidate for trial in own} >= {REFERENCE}


def test_a_winner_that_does_not_recurse_is_called_so(run: tuple[Plan, Result, Book]) -> None:
    plan, result, book = run
    flat = Book()
    winner = book.trials[result.winner]
    model = {**winner.config["model"], "H_cycles": 1, "L_cycles": 1}
    flat.trials.update(book.trials)
    flat.trials[winner.id] = replace(winner, config={**winner.config, "model": model})
    assert "it does not recurse" in words(verdict(plan, result, flat), "so")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_box_is_as_wide_as_it_may_be(run: tuple[Plan, Result, Book], width: int) -> None:
    plan, result, book = run
    lines = verdict_text(verdict(plan, result, book, "r"), width).splitlines()
    framed = [line for line in lines if line.endswith(("|", "+"))]
    assert len(framed) > 4
    assert {len(line) for line in framed} == {min(width, 100)}


def test_a_folder_is_named_in_its_commands(tmp_path: Path) -> None:
    folder = made(tmp_path / "it is", 12, result=False)
    text = verdict_text(verdict(read_plan(folder), None, read_book(folder), str(folder)))
    assert f"'{folder}'/sweep.yaml" in text
