"""A comparison of runs as text: a verdict for each pair, the facts of each, and what differed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from search.analysis.compare import Comparison, RunFacts
from search.ledger.lineage import PLACE
from search.stability.claims import claim, odds
from search.stability.result import Result
from search.stats.intervals import Difference

_WIDEST = 60


def comparison_text(comparison: Comparison) -> str:
    """A verdict for each pair, then the facts of each run and what differed."""
    first, *others = comparison.runs
    lines: list[str] = []
    if comparison.hindrance:
        lines.append(f"no verdict: {comparison.hindrance}")
    else:
        for other in others:
            pair = comparison.pairs.get(other.label)
            lines += verdict(first, other, pair, comparison.confidence)
    lines += ["", *(f"{run.label}  {run.folder}  ({run.study})" for run in comparison.runs)]
    lines += ["", *_facts(comparison.runs)]
    labels = [run.label for run in comparison.runs]
    lines += ["", "what differed:" if comparison.differences else "nothing differed in the configs"]
    lines += _differences(comparison.differences, labels)
    if comparison.versions:
        lines += ["", "ran with:", *_differences(comparison.versions, labels)]
    return "\n".join(lines)


def verdict(
    first: RunFacts, other: RunFacts, pair: Difference | None, confidence: float
) -> list[str]:
    """Which is ahead, by how much and how sure, and what to do, in a few lines.

    One is ahead where the interval of the difference leaves out 0, at that confidence.
    """
    a, b = first.label, other.label
    if pair is None:
        unconfirmed = [run for run in (first, other) if not run.result]
        which = " and ".join(f"{run.label} has no confirmed winner yet" for run in unconfirmed)
        return [
            f"no verdict on {a} and {b}: {which}; the best explored scores are what was chosen by, "
            "and optimistic",
            *(f"  trm stability {shlex.quote(run.folder)}" for run in unconfirmed),
        ]
    ahead, behind = (first, other) if pair.mean >= 0 else (other, first)
    by = f"{ahead.label} is {abs(pair.mean):.3f} better than {behind.label} so far"
    if pair.mean == 0.0:
        by = f"{a} and {b} are equal so far"
    if pair.wins is None:
        return [
            f"{claim('runs_open')}: {by}; how sure that is, is unknown, for one has a single seed "
            "or no two seeds differ: confirm both over more seeds with `trm stability`"
        ]
    sign = -1.0 if pair.mean < 0 else 1.0
    low, high = sorted((sign * pair.low, sign * pair.high))
    within = f"({confidence:.0%} interval {low:.3f} to {high:.3f})"
    share = pair.wins if pair.mean >= 0 else 1.0 - pair.wins
    names = {"ahead": ahead.label, "behind": behind.label}
    leads = claim("run_ahead", sure=f"{confidence:.0%}", **names)
    beats = f"  {claim('run_beats', probability=odds(share), **names)}"
    how = f"  (means over the promise seeds; Welch's t, {pair.df:.1f} degrees of freedom)"
    if pair.settled:
        means = f"{_mean(ahead)} against {_mean(behind)}, {abs(pair.mean):.3f} better {within}"
        return [
            f"{leads}: {ahead.objective.column} {means}",
            beats,
            how,
            f"  use it: trm export {shlex.quote(ahead.folder)} --out best.yaml",
        ]
    return [
        f"{claim('runs_open')}: {by} {within}",
        beats,
        how,
        *_more(first, other, pair),
    ]


def _mean(run: RunFacts) -> str:
    assert run.result is not None
    return f"{run.result.promise.mean:.3f}"


def _more(first: RunFacts, other: RunFacts, pair: Difference) -> list[str]:
    """What would settle it."""
    if pair.seeds is None:
        return ["  no number of seeds that anyone runs would settle it: take the cheaper one"]
    sizes = [len(run.result.promise.scores) for run in (first, other) if run.result]
    more = max(pair.seeds - min(sizes, default=0), 1)
    seeds = f"{more:,} more seed{'s' if more > 1 else ''}"
    return [
        f"  about {seeds} each would settle a difference of this size:",
        *(
            f"  trm stability {shlex.quote(run.folder)} --promise-seeds {size + more}"
            for run, size in zip((first, other), sizes, strict=True)
        ),
    ]


def _differences(differences: dict[str, dict[str, Any]], labels: Sequence[str]) -> list[str]:
    """A setting and below it the value in each run."""
    lines = []
    for path, given in differences.items():
        lines.append(f"  {path}")
        lines += [
            f"    {label}  {_short(given[label]) if label in given else '(has none)'}"
            for label in labels
        ]
    return lines


def _facts(runs: Sequence[RunFacts]) -> list[str]:
    """A table with a column a run."""
    rows: list[tuple[str, Callable[[RunFacts], str]]] = [
        ("objective", lambda run: ", ".join(each.text() for each in run.objectives)),
        ("trials", _outcomes),
        ("training FLOPs", lambda run: f"{run.compute:.2e}"),
        ("worker minutes", lambda run: f"{run.seconds / 60:.1f}"),
        ("best explored", lambda run: _number(run.explored)),
        ("robust score", _of_result(lambda result: result.candidates[0].robust)),
        ("promise seeds", _promise_seeds),
        ("their mean", _of_result(lambda result: result.promise.mean)),
        ("promised", _promised),
        ("exact accuracy, test", _of_result(lambda result: result.promise.test_mean)),
        ("your defaults", _of_result(lambda result: result.reference.mean)),
    ]
    table = [["", *(run.label for run in runs)]]
    table += [[name, *(text(run) for run in runs)] for name, text in rows]
    more = {each.column: None for run in runs for each in run.objectives[1:]}
    table += [[f"mean {column}", *(_value(run, column) for run in runs)] for column in more]
    names = {name: None for run in runs for name in run.winner or () if name not in PLACE}
    table += [[f"winner's {name}", *(_winners(run, name) for run in runs)] for name in names]
    widths = [max(len(row[i]) for row in table) for i in range(len(runs) + 1)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _outcomes(run: RunFacts) -> str:
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(run.outcomes.items()))


def _promise_seeds(run: RunFacts) -> str:
    if run.result is None:
        return "none yet"
    return " ".join(f"{score:.3f}" for score in run.result.promise.scores)


def _promised(run: RunFacts) -> str:
    if run.result is None:
        return ""
    promise = run.result.promise
    if promise.undefined:
        return "undefined"
    return f"{promise.low:.3f} to {promise.high:.3f} ({run.result.confidence:.0%})"


def _of_result(value: Callable[[Result], float]) -> Callable[[RunFacts], str]:
    return lambda run: "" if run.result is None else f"{value(run.result):.3f}"


def _winners(run: RunFacts, name: str) -> str:
    """A drawn value of the winner, or the fixed one of a run that does not search it."""
    if run.winner is None:
        return ""
    return _short(run.winner.get(name, run.settings.get(name, "")))


def _value(run: RunFacts, column: str) -> str:
    return _number(run.result.promise.values.get(column)) if run.result else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
