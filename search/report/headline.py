"""The top of a report: what won, and how sure that is, in words and a few large numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.export.export import BEST_FILE, export
from search.report.ablations import ablations_of
from search.report.facts import Facts
from search.report.questions import Question, questions
from search.report.scrub import beside
from search.report.section import Code
from search.report.words import count, drawn, listed, number, share
from search.stability.claims import odds
from search.stability.recursion import effective
from search.stability.result import Result
from search.stability.standing import against_defaults, is_default
from search.stability.verdict import RunVerdict, hopeless, verdict
from search.stats.averages import failure_rate
from search.stats.intervals import Difference


@dataclass(frozen=True)
class Figure:
    """A large number.

    Attributes:
        value: as text.
        label: what it is.
        note: what it rests on.
    """

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Headline:
    """What a reader takes away.

    Attributes:
        title: of the page.
        verdict: one sentence.
        figures: the large numbers.
        params: the winner's drawn values, by parameter; those without effect are left out.
        missing: what this run does not have yet.
        box: what to do with the run, and why; None where there is no winner to choose.
        code: the recommended config, to be copied.
        questions: under which the sections stand; none: one after another.
    """

    title: str
    verdict: str
    figures: Sequence[Figure]
    params: Mapping[str, str]
    missing: Sequence[str]
    box: RunVerdict | None = None
    code: Sequence[Code] = ()
    questions: Sequence[Question] = ()


def headline(facts: Facts) -> Headline:
    """What the run says in short, whatever state it is in."""
    best = facts.best
    ablated = ablations_of(facts) is not None
    return Headline(
        title=facts.plan.name,
        verdict=_verdict(facts),
        figures=_figures(facts),
        params=drawn(effective(best.params, best.config)) if best is not None else {},
        missing=_missing(facts),
        box=None if ablated else verdict(facts.plan, facts.result, facts.book, facts.named),
        code=_recommended(facts),
        questions=questions(facts),
    )


def gap(facts: Facts) -> Difference | None:
    """The winner against the file's defaults over the promise seeds; None without a result."""
    result = facts.result
    return None if result is None else against_defaults(facts.plan, result, facts.book)


def _recommended(facts: Facts) -> list[Code]:
    """The winner's config as it is exported, for a reader to take away."""
    if facts.result is None or facts.result.winning.reservation:
        return []
    text = export(facts.folder, "trm", task=None)
    return [Code(f"The recommended config, {BEST_FILE}", beside(text).rstrip())]


def _verdict(facts: Facts) -> str:
    result, best = facts.result, facts.best
    if result is not None:
        promise = result.promise
        won = "ranks first, though it is not fit for use" if result.winning.reservation else "won"
        return (
            f"Trial {result.winner} {won}: {count(len(promise.scores), 'seed')} that took no part "
            f"in the choice had {result.objective} {number(promise.mean)} on average."
        )
    if best is not None:
        return (
            f"No winner yet. Trial {best.id} leads the search with {facts.objective.column} "
            f"{number(facts.explored[0].score)}, which is the best of "
            f"{count(len(facts.explored), 'config')} and therefore optimistic."
        )
    ablated = ablations_of(facts)
    if ablated is not None:
        ablations = count(len(ablated.lines) - 1, "ablation")
        return f"{ablations} of a base, over {ablated.runs}; there is no winner to choose."
    if facts.trials:
        return "No winner yet: no trial of the search has run to its end without failing."
    return "Nothing has run yet."


def _figures(facts: Facts) -> list[Figure]:
    result = facts.result
    counts: Counter[str] = Counter(trial.outcome or "unfinished" for trial in facts.trials.values())
    trials = Figure(f"{len(facts.trials):,}", "trials", _outcomes(counts))
    if result is None and ablations_of(facts) is not None:
        return [trials]
    if result is None:
        best = facts.explored[0].score if facts.explored else None
        return [
            Figure(number(best) or "none", f"best {facts.objective.column}", "of the search"),
            trials,
        ]
    promise, reference = result.promise, result.reference
    runs = [*facts.of_stage("confirm", result.winner), *facts.promised(result.winner)]
    failed = sum(not trial.completed for trial in runs)
    found, same = gap(facts), is_default(facts.plan, result, facts.book)
    figures = [
        Figure(
            "undefined"
            if promise.undefined
            else f"{number(promise.low)} to {number(promise.high)}",
            f"promised {result.objective}",
            promise.undefined or f"of one fresh seed, {result.confidence:.0%}",
        ),
        Figure(
            number(promise.mean),
            "mean over fresh seeds",
            " ".join(number(score) for score in promise.scores),
        ),
    ]
    if (lost := promise.deeper) is not None:
        note = f"of exact accuracy; the worst of {count(lost.seeds, 'seed')} {number(lost.worst)}"
        figures.append(Figure(number(lost.mean), "lost at 16 times the depth", note))
    if (thought := promise.thought) is not None:
        note = f"at {thought.where}, of one fresh seed, {result.confidence:.0%}"
        ends = f"{number(thought.low)} to {number(thought.high)}"
        figures.append(Figure(ends, "promised exact accuracy", note))
    if found is not None:
        interval = (
            f"{result.confidence:.0%} interval {number(found.low)} to {number(found.high)}"
            if found.df
            else "how sure is unknown"
        )
        better = f"{found.mean:+.3f}"
        figures.append(Figure(better, "against your defaults", interval))
    best = next((c.best for c in result.candidates if c.trial == result.winner), None)
    if best is not None and len(result.candidates) > 1:
        figures.append(
            Figure(odds(best), "probability of being best", "of the finalists, by their seeds")
        )
    figures += [
        *([] if same else [Figure(number(reference.mean), "your defaults", "mean, same seeds")]),
        Figure(
            f"{failed} of {len(runs)}", "trials of the winner failed",
            _rate(result, failed, len(runs)),
        ),
        Figure(
            number(promise.test_mean), "exact accuracy on test",
            "looked at once" if same
            else f"your defaults {number(reference.test_mean)}; looked at once",
        ),
        trials,
    ]  # fmt: skip
    return figures


def _rate(result: Result, failed: int, runs: int) -> str:
    if not runs:
        return ""
    found = failure_rate(failed, runs, result.confidence)
    return f"{result.confidence:.0%} interval {share(found.low)} to {share(found.high)}"


def _outcomes(counts: Counter[str]) -> str:
    return ", ".join(f"{n:,} {outcome}" for outcome, n in counts.most_common())


def _missing(facts: Facts) -> list[str]:
    lines: list[str] = []
    if ablations_of(facts) is not None:
        return lines if facts.work is None else [f"When this was written, {facts.work.text()}."]
    unfinished = sum(not trial.ended for trial in facts.trials.values())
    searched = sum(t.searches for t in facts.trials.values())
    wanted = facts.plan.wanted * facts.plan.seeds
    if facts.work is not None:
        lines.append(f"When this was written, {facts.work.text()}.")
    if facts.result is None and hopeless(facts.plan, facts.book):
        lines.append("Every trial of the search failed: there is none to confirm.")
    elif facts.result is None:
        what = [f"{searched:,} of {wanted:,} trials are drawn"] if searched < wanted else []
        what += [f"{count(unfinished, 'trial')} unfinished"] if unfinished else []
        lines.append(
            "The confirm stage has not ended"
            + (f" ({listed(what)})" if what else "")
            + ": no promise, no race."
            + ("" if facts.work else " Nobody is at work: `trm sweep ... --resume` goes on.")
        )
    return lines
