"""What a run folder holds, in words and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from search.analysis.at_work import Work, at_work, driver_of, elapsed_of
from search.analysis.diagnosis import count_findings, diagnose_book
from search.analysis.fidelity import fidelity_warning
from search.analysis.node_use import NodeUse, node_lines, node_uses
from search.analysis.result_text import result_text, values_text
from search.analysis.use import Pace, RunCost, cost_of, pace_of, stragglers
from search.config.plan import Plan, read_plan
from search.engine.packing.packings import read_paces, read_packings
from search.engine.presence import files_in
from search.explore.candidates import Explored, best_first, explored, pareto_front
from search.explore.enough import FEWEST
from search.ledger.attempts import repeated
from search.ledger.book import Book, holds_ablations
from search.ledger.files import RUN_FILE
from search.ledger.lineage import spent
from search.ledger.reader import read_book
from search.ledger.storage import Place, place
from search.logs.parameters import parameters, terminal_width
from search.stability.result import Result, read_result
from search.stability.verdict import verdict
from search.stability.verdict_text import verdict_text
from search.sweep.run import Run
from trm.files.driver_note import DriverNote, read_note

_BEST_SHOWN = 5


def status(folder: Place | str) -> dict[str, Any]:
    """A run folder's state as plain values, also while a driver is writing.

    >>> found = status(run)
    >>> found["stages"]["promise"], found["best"][0]["trial"]
    ({'completed': 2}, 3)

    Raises:
        UserError: the folder holds no run.
    """
    where = place(folder)
    plan, book, result = read_plan(where), read_book(where), read_result(where)
    state = _state(where, plan, book, result)
    if not holds_ablations(book.trials):
        state["verdict"] = asdict(verdict(plan, result, book))
    return state


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
    work = at_work(folder, plan, book)
    note = read_note(files_in(folder))
    elapsed = elapsed_of(folder)
    pace = pace_of(book, elapsed)
    return {
        "run": str(folder),
        "study": plan.run_id,
        "objective": plan.objective.column,
        "objectives": {o.column: o.resolved_direction for o in plan.objectives},
        "constraints": [constraint.text() for constraint in plan.constraints],
        "sampler": plan.sampler_reason or plan.sections.search.sampler.name,
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
            if trial.failed
        ],
        "attempts": [asdict(one) for many in book.attempts.values() for one in many],
        "findings": count_findings(diagnose_book(book)),
        "at_work": asdict(work) if work else None,
        "driver": _told(note),
        "nodes": [asdict(one) for one in node_uses(note)],
        "pace": asdict(pace) if pace else None,
        "cost": asdict(cost_of(plan, book, note)),
        "stragglers": [asdict(one) for one in stragglers(book, note)],
        "packing": [asdict(one) for one in read_packings(folder)],
        "cpus": [asdict(one) for one in read_paces(folder)],
        "another_hour": _another_hour(plan, book, whole, elapsed),
        "result": asdict(result) if result else None,
    }


def _another_hour(
    plan: Plan, book: Book, whole: Sequence[Explored], elapsed: float | None
) -> dict[str, Any] | None:
    """What another hour of searching would bring, as plain values and in a sentence."""
    if len(whole) < FEWEST or len(plan.objectives) > 1 or plan.breeds:
        return None
    # It needs scipy: seconds that other folders can do without.
    from search.explore.outlook import another_hour, outlook_text

    found = another_hour(plan, book, elapsed)
    return {**asdict(found), "text": outlook_text(found, plan.objective)} if found else None


def _told(note: DriverNote | None) -> dict[str, Any] | None:
    """What the newest driver says of itself; `lives` is what that means now."""
    if note is None:
        return None
    return {**asdict(note), "lives": note.lives}


def starting(folder: Place | str) -> dict[str, Any] | None:
    """The state of a run that is not there yet, while its driver makes its data; else None."""
    where = place(folder)
    if any((where / name).is_file() for name in (RUN_FILE, "config.yaml")):  # a run, a training
        return None
    holder, note = driver_of(where)
    if not holder or note is None:
        return None
    return {"run": str(where), "at_work": {"holder": holder, "stage": "starting"},
            "driver": _told(note)}  # fmt: skip


def status_text(folder: Place | str, *, explain: bool = False) -> str:
    """The same for a person.

    Args:
        explain: a line for each number of the result says what it is.
    """
    where = place(folder)
    plan, book, result = read_plan(where), read_book(where), read_result(where)
    state, trials = _state(where, plan, book, result), book.trials
    wanted = f"{state['wanted']} trials"
    if plan.breeds:
        wanted = f"{plan.population.members} members x {plan.generations} generations"
    judged = ", then ".join(objective.text() for objective in plan.objectives)
    ablated = None
    if holds_ablations(book.trials):
        # The schema of all sections, which needs torch: seconds that other folders can do without.
        from search.stability.ablation_table import ablations_markdown, tabled

        ablated = tabled(str(where), plan, book)
        wanted = f"{len(ablated.lines)} configs x {ablated.seeds} seeds"
    work = state["at_work"]
    told = not ablated and not (work and result is None)
    lines = [verdict_text(verdict(plan, result, book, str(folder)))] if told else []
    lines.append(f"{state['study']}: {wanted} wanted, objective {judged}")
    if plan.sampler_reason and not ablated:
        lines.append(f"  sampler {plan.sampler_reason}")
    lines += [f"  {one.text()}" for one in read_packings(where)]
    lines += [f"  {one.text()}" for one in read_paces(where)]
    if work:
        lines.append(f"  {Work(**work).text()}")
        lines += [f"  {line}" for line in (Work(**work).purpose(),) if line]
    lines += _work_lines(state)
    if state["constraints"]:
        lines.append(f"  must keep {', '.join(state['constraints'])}")
    width = max(10, *map(len, state["stages"])) if state["stages"] else 10
    for stage, counts in state["stages"].items():
        words = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
        lines.append(f"  {stage:<{width}} {words}")
    lines.append(
        f"  {state['compute']:.2e} training FLOPs in {state['seconds'] / 60:.1f} worker minutes"
    )
    if state["another_hour"]:
        lines.append(f"  {state['another_hour']['text']}")
    wide, order = terminal_width(), plan.space.as_written
    if state["best"]:
        seeds = "one seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
        lines.append(f"best explored ({seeds} each, so optimistic):")
        for row in state["best"]:
            trial = trials[row["trial"]]
            broken = "" if row["feasible"] else "  breaks a constraint"
            head = f"  trial {trial.id:>4}  {row['score']:.4f}  "
            lines.append(head + parameters(trial, wide - len(head + broken), order) + broken)
    if state["front"]:
        lines.append(f"Pareto front of the search, {len(state['front'])} configs:")
        for row in state["front"]:
            trial = trials[row["trial"]]
            head = f"  trial {trial.id:>4}  {values_text(row['values'])}  "
            lines.append(head + parameters(trial, wide - len(head), order))
    if state["stragglers"]:
        lines.append("slow, silent or in trouble:")
        lines += [f"  trial {one['trial']:>4}  {one['why']}" for one in state["stragglers"]]
    reasons = Counter(f"{row['outcome']}: {row['reason']}" for row in state["failures"])
    if reasons:
        lines.append("failures:")
        lines += [f"  {n} x {reason}" for reason, n in reasons.most_common()]
    lines += _lost(book)
    if state["findings"]:
        words = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in state["findings"].items())
        lines.append(f"findings by trials (`trm diagnose` tells more): {words}")
    warning = fidelity_warning(plan, book)
    if warning:
        lines.append(f"early stopping: {warning}; see `trm fidelity {folder}`")
    if ablated:
        lines += ["", ablations_markdown(ablated)]
    elif result:
        lines.append(result_text(plan, result, book, explain=explain))
    else:
        driver = state["driver"] or {}
        line = driver.get("line") or "`trm sweep ... --resume` goes on"
        resume = f"no driver is at work; {line}"
        goes_on = "the sweep goes on" if work else resume
        lines.append(f"no winner yet: {goes_on}")
    return "\n".join(lines)


def _work_lines(state: dict[str, Any]) -> list[str]:
    """The driver, its nodes, the pace and the cost."""
    lines, driver = [], state["driver"]
    if driver and state["at_work"]:
        parallel = driver["told"].get("parallel")
        most = f", at most {parallel} trials at once" if parallel else ""
        stopping = "; it was asked to stop" if driver["state"] == "stopping" else ""
        lines.append(f"since {_time(driver['began'])}{most}{stopping}")
    elif driver and driver["state"] != "ended":
        heard = _time(driver["renewed"])
        lines.append(
            f"the last driver, process {driver['pid']} on {driver['host']}, left without a word: "
            f"it was killed, or its machine is gone; last heard of {heard}"
        )
    elif driver and driver["ending"] == "failed":
        lines.append(f"the last driver failed {_time(driver['renewed'])}: {driver['reason']}")
    elif driver and driver["ending"] == "stopped":
        lines.append(f"the last driver was stopped {_time(driver['renewed'])}")
    lines += node_lines([NodeUse(**one) for one in state["nodes"]])
    if state["pace"]:
        lines.append(Pace(**state["pace"]).text())
    lines.append(RunCost(**state["cost"]).text())
    return [f"  {line}" for line in lines]


def _time(text: str) -> str:
    return f"{text[:19].replace('T', ' ')} UTC"


def _lost(book: Book) -> list[str]:
    """Attempts that did not end their trials, by reason and place."""
    every = (one for many in book.attempts.values() for one in many)
    found = [one for one in every if one.cause != "stopped"]  # nothing of those was lost
    if not found:
        return []
    reasons = Counter((one.outcome, one.host, one.reason) for one in found)
    lines = [
        f"attempts that did not end their trial ({repeated(book.attempts):.0f} s of work repeated "
        "at most):"
    ]
    for (outcome, host, reason), n in reasons.most_common():
        what = "preempted" if outcome == "preempted" else f"{outcome}, run again"
        lines.append(f"  {n} x {what}{f' on {host}' if host else ''}: {reason or 'no reason'}")
    return lines


def result_table(done: Run, *, explain: bool = False) -> str:
    """The verdict, the confirm stage's ranking and the winner's promise."""
    result = done.best()
    assert result is not None
    book = read_book(done.folder)
    box = verdict_text(verdict(done.plan, result, book, str(done.folder)))
    return f"{box}\n{result_text(done.plan, result, book, explain=explain)}"
