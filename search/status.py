"""What a run folder holds, in words and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from search.book import Book
from search.candidates import best_first, explored, pareto_front
from search.confirm import Candidate, Promise, Result, read_result
from search.fidelity import fidelity_warning
from search.ledger import Trial, read_book
from search.live import parameters
from search.place import Place, place
from search.plan import Plan, read_plan
from search.population import PLACE, SETTING, learned_history, spent
from search.schedulers.pbt import PbtConfig
from search.study import is_study, study_table, tabled
from search.sweep import Run

_BEST_SHOWN = 5


def status(folder: Place | str) -> dict[str, Any]:
    """A run folder's state as plain values, also while a driver is writing."""
    where = place(folder)
    return _state(where, read_plan(where), read_book(where), read_result(where))


def _state(folder: Place, plan: Plan, book: Book, result: Result | None) -> dict[str, Any]:
    trials = book.trials
    stages: dict[str, dict[str, int]] = {}
    for trial in trials.values():
        counts = stages.setdefault(trial.stage, {})
        begun = "paused" if trial.paused else "unfinished"
        outcome = trial.outcome or (begun if trial.attempts else "waiting")
        counts[outcome] = counts.get(outcome, 0) + 1
    whole = explored(plan, book)
    best = best_first(plan, whole)
    front = pareto_front(plan, whole) if len(plan.objectives) > 1 else []
    compute, seconds = spent(trials)
    return {
        "run": str(folder),
        "study": plan.study,
        "objective": plan.objective.column,
        "objectives": {o.column: o.resolved_direction for o in plan.objectives},
        "constraints": [constraint.text() for constraint in plan.constraints],
        "wanted": plan.wanted,
        "stages": stages,
        "compute": compute,
        "seconds": seconds,
        "best": [
            {
                "trial": one.trial.id,
                "score": one.score,
                "values": one.values,
                "feasible": one.feasible,
                "params": one.trial.params,
            }
            for one in best[:_BEST_SHOWN]
        ],
        "front": [
            {"trial": one.trial.id, "values": one.values, "params": one.trial.params}
            for one in front
        ],
        "failures": [
            {"trial": trial.id, "outcome": trial.outcome, "reason": trial.reason}
            for trial in trials.values()
            if trial.outcome in ("diverged", "collapsed", "oom", "crashed")
        ],
        "result": asdict(result) if result else None,
    }


def status_text(folder: Place | str) -> str:
    """The same for a person."""
    where = place(folder)
    plan, book, result = read_plan(where), read_book(where), read_result(where)
    state, trials = _state(where, plan, book, result), book.trials
    scheduler = plan.sections.search.scheduler
    wanted = f"{state['wanted']} trials"
    if isinstance(scheduler, PbtConfig):
        wanted = f"{scheduler.members} members x {scheduler.generations} generations"
    judged = ", then ".join(objective.text() for objective in plan.objectives)
    studied = tabled(str(where), plan, book) if is_study(book) else None
    if studied:
        wanted = f"{len(studied.lines)} configs x {studied.seeds} seeds"
    lines = [f"{state['study']}: {wanted} wanted, objective {judged}"]
    if state["constraints"]:
        lines.append(f"  must keep {', '.join(state['constraints'])}")
    for stage, counts in state["stages"].items():
        words = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
        lines.append(f"  {stage:<10} {words}")
    lines.append(
        f"  {state['compute']:.2e} training FLOPs in {state['seconds'] / 60:.1f} worker minutes"
    )
    if state["best"]:
        seeds = "one seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
        lines.append(f"best explored ({seeds} each, so optimistic):")
        for row in state["best"]:
            trial = trials[row["trial"]]
            broken = "" if row["feasible"] else "  breaks a constraint"
            score = f"{row['score']:.4f}"
            lines.append(f"  trial {trial.id:>4}  {score}  {parameters(trial, 8)}{broken}")
    if state["front"]:
        lines.append(f"Pareto front of the search, {len(state['front'])} configs:")
        for row in state["front"]:
            trial = trials[row["trial"]]
            lines.append(f"  trial {trial.id:>4}  {_values(row['values'])}  {parameters(trial, 4)}")
    reasons = Counter(f"{row['outcome']}: {row['reason']}" for row in state["failures"])
    if reasons:
        lines.append("failures:")
        lines += [f"  {n} x {reason}" for reason, n in reasons.most_common()]
    warning = fidelity_warning(plan, book)
    if warning:
        lines.append(f"early stopping: {warning}; see `trm fidelity {folder}`")
    if studied:
        lines += ["", study_table(studied)]
    elif result:
        lines.append(_table(plan, result, trials))
    else:
        lines.append("no winner yet: `trm sweep ... --resume` goes on")
    return "\n".join(lines)


def result_table(done: Run) -> str:
    """The confirm stage's ranking and the winner's promise."""
    result = done.best()
    assert result is not None
    return _table(done.plan, result, {trial.id: trial for trial in done.trials()})


def _table(plan: Plan, result: Result, trials: Mapping[int, Trial]) -> str:
    winner = trials[result.winner]
    lines = [f"confirmed over fresh seeds, by robust score ({result.confidence:.0%} bound):"]
    lines += [
        _candidate_line(candidate, several=len(plan.objectives) > 1)
        for candidate in result.candidates
    ]
    if result.front:
        lines.append(f"Pareto front of the confirmed: trials {', '.join(map(str, result.front))}")
    lines += [
        f"winner: trial {result.winner}",
        *_winner_lines(plan, winner, trials),
        f"promised {result.objective} of one fresh seed: {result.promise.low:.3f} to "
        f"{result.promise.high:.3f} ({result.confidence:.0%})",
        _promise_line("winner", result.promise),
        _promise_line("reference recipe", result.reference),
    ]
    return "\n".join(lines)


def _winner_lines(plan: Plan, winner: Trial, trials: Mapping[int, Trial]) -> list[str]:
    """What was drawn for the winner; what its curriculum learned, if a population did."""
    drawn = [(name, value) for name, value in winner.params.items() if name not in PLACE]
    lines = [f"  {name} = {_short(value)}" for name, value in drawn if not name.startswith(SETTING)]
    scheduler = plan.sections.search.scheduler
    if isinstance(scheduler, PbtConfig):
        before = None
        for start, settings in learned_history(trials, winner, scheduler.marks(slow_start=False)):
            if settings != before:
                words = ", ".join(f"{name} {_short(value)}" for name, value in settings.items())
                lines.append(f"  from {start:.0%}: {words}")
            before = settings
    return lines


def _candidate_line(candidate: Candidate, *, several: bool) -> str:
    scores = " ".join(f"{score:.3f}" for score in candidate.scores)
    failed = f"  {candidate.failures} failed" if candidate.failures else ""
    failed += "" if candidate.feasible else "  breaks a constraint"
    if several:
        failed += f"  {_values(candidate.values)}"
    return (
        f"  trial {candidate.trial:>4}  robust {candidate.robust:.3f}  mean {candidate.mean:.3f}  "
        f"seeds {scores}  (explored {candidate.explored:.3f}){failed}"
    )


def _promise_line(who: str, promise: Promise) -> str:
    scores = " ".join(f"{score:.3f}" for score in promise.scores)
    return (
        f"  {who:<17} valid {promise.mean:.3f} over {len(promise.scores)} more seeds ({scores}), "
        f"test {promise.test_mean:.3f}"
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _values(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
