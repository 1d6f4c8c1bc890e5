"""The top of a report: what won, and how sure that is, in words and a few large numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from search.report.ablations import ablations_of
from search.report.facts import Facts
from search.report.words import count, drawn, listed, number, share
from search.stability.result import Result
from search.stats.averages import failure_rate
from search.stats.intervals import Difference, difference


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
        caveats: what one should know before believing it.
        figures: the large numbers.
        params: the winner's drawn values, by parameter.
        missing: what this run does not have yet.
    """

    title: str
    verdict: str
    caveats: list[str]
    figures: list[Figure]
    params: dict[str, str]
    missing: list[str]


def headline(facts: Facts) -> Headline:
    """What the run says in short, whatever state it is in."""
    best = facts.best
    return Headline(
        title=facts.plan.name,
        verdict=_verdict(facts),
        caveats=_caveats(facts),
        figures=_figures(facts),
        params=drawn(best.params) if best is not None else {},
        missing=_missing(facts),
    )


def gap(facts: Facts) -> Difference | None:
    """The winner against the reference recipe over the promise seeds; None without a result."""
    result = facts.result
    if result is None or len(result.reference.scores) < 2 or _is_reference(facts):
        return None
    return difference(
        result.promise.scores,
        result.reference.scores,
        result.confidence,
        maximize=facts.objective.maximizes,
        examples=facts.plan.counted(facts.plan.examples),
    )


def _is_reference(facts: Facts) -> bool:
    best = facts.best
    return best is not None and dict(best.params) == facts.plan.space.default()[0]


def _verdict(facts: Facts) -> str:
    result, best = facts.result, facts.best
    if result is not None:
        promise = result.promise
        won = "ranks first, though it is not fit for use" if result.winning.reservation else "won"
        fresh = (
            f"What a fresh seed of it reaches is undefined ({promise.undefined})"
            if promise.undefined
            else f"A fresh seed of it should reach {result.objective} {number(promise.low)} to "
            f"{number(promise.high)}, with {result.confidence:.0%} confidence"
        )
        text = (
            f"Trial {result.winner} {won}. {fresh}; {count(len(promise.scores), 'seed')} that took "
            f"no part in the choice had {number(promise.mean)} on average."
        )
        if _is_reference(facts):
            return text + " It is the reference recipe itself: the search found nothing better."
        return text
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


def _caveats(facts: Facts) -> list[str]:
    result = facts.result
    if result is None:
        return []
    lines = []
    if result.winning.reservation:
        lines.append(
            f"No candidate is fit for use; this one ranks first, but {result.winning.reservation}."
        )
    found = gap(facts)
    if found is not None and found.wins is not None:
        low, high = number(found.low), number(found.high)
        odds = f"{found.wins:.2f}"
        if (better := result.improvement) is not None:
            odds = f"{better.probability:.2f} ({number(better.low)} to {number(better.high)})"
        beats = f"a fresh seed of it beats one of the reference with probability {odds}"
        if found.settled and found.mean > 0:
            lines.append(
                f"Its lead over the reference recipe is settled ({low} to {high}); {beats}."
            )
        else:
            lines.append(
                f"Its lead over the reference recipe is not settled ({low} to {high}); {beats}."
            )
    failed = sum(c.failures for c in result.candidates if c.trial == result.winner)
    if failed and result.winning.works:
        lines.append(f"{count(failed, 'seed')} of the winner failed in the race.")
    width = result.promise.high - result.promise.low
    if facts.objective.is_share and width > 0.3 and not result.promise.undefined:
        lines.append(
            f"The promised interval is {number(width)} wide: {len(result.promise.scores)} seeds "
            "say little. `trm stability RUN --promise-seeds 8` narrows it."
        )
    return lines


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
    found = gap(facts)
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
            if found.wins is not None
            else "how sure is unknown"
        )
        better = f"{found.mean:+.3f}"
        figures.append(Figure(better, "against the reference recipe", interval))
    best = next((c.best for c in result.candidates if c.trial == result.winner), None)
    if best is not None and len(result.candidates) > 1:
        figures.append(
            Figure(f"{best:.2f}", "probability of being best", "of the finalists, by their seeds")
        )
    figures += [
        Figure(number(reference.mean), "reference recipe", "mean over the same seeds"),
        Figure(
            f"{failed} of {len(runs)}", "runs of the winner failed",
            _rate(result, failed, len(runs)),
        ),
        Figure(
            number(promise.test_mean), "exact accuracy on test",
            f"reference {number(reference.test_mean)}; looked at once",
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
    if facts.result is None:
        what = [f"{searched:,} of {wanted:,} trials are drawn"] if searched < wanted else []
        what += [f"{count(unfinished, 'trial')} unfinished"] if unfinished else []
        lines.append(
            "The confirm stage has not ended"
            + (f" ({listed(what)})" if what else "")
            + ": no promise, no race."
            + ("" if facts.work else " Nobody is at work: `trm sweep ... --resume` goes on.")
        )
    return lines
