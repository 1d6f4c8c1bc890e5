"""What each number of a result is, in a line where it is printed."""

from __future__ import annotations

from collections.abc import Sequence

from search.objectives.objective import Objective
from search.stability.result import Finalist, Result

BRIEFLY = (
    "  robust: the bound of the mean that ranks; IQM: mean of the middle half of the seeds; best: "
    "probability that its mean is the best (--explain says more)"
)


def at_once(result: Result) -> bool:
    """Whether the bounds hold for all candidates at once; older result files' do not."""
    return any(candidate.foreseen is not None for candidate in result.candidates)


def one_seed_each(candidates: Sequence[Finalist]) -> bool:
    """Whether no spread between seeds can be known, nor what rests on it."""
    return all(len(candidate.scores) < 2 for candidate in candidates)


def bound_words(result: Result) -> str:
    """What the robust scores are bounds of, and for whom they hold."""
    sure, count = f"{result.confidence:.0%}", len(result.candidates)
    if not at_once(result):
        return f"{sure} bound"
    whom = (
        "" if count == 1 else ", for both at once" if count == 2 else f", for all {count} at once"
    )
    return f"{sure} bound of the mean{whom}"


def explanation(result: Result, objective: Objective) -> list[str]:
    """A line for each column and each number of a result."""
    sure, worse = f"{result.confidence:.0%}", "less" if objective.maximizes else "more"
    held = (
        "for all candidates at once, so that it holds for the one that is chosen too"
        if at_once(result)
        else "for each candidate by itself, so that it promises too much of the one that is chosen"
    )
    promised = len(result.promise.scores)
    lines = [
        "what the numbers are (`trm guide statistics` has more, and how often each was right):",
        f"  robust     with {sure} confidence the mean over all seeds is not {worse} than this; "
        f"{held}; a failed seed counts as {objective.worst(0.0):g}",
        "  mean       of its fresh seeds, which the search did not see",
        f"  {sure + ' of mean':<10} where the mean over all seeds lies, likewise",
        "  IQM        interquartile mean: the seeds without the lowest and the highest quarter",
        "  failed     seeds that diverged, collapsed, crashed or ran out of memory",
        "  best       probability that no other candidate's mean over all seeds is better, by the "
        "seeds so far",
        "  explored   the search's own score, which chose it and is therefore optimistic",
        *_of_depth(result),
        "  seeds      the scores themselves",
        f"  promised   where one fresh seed falls with {sure} confidence: about the mean of "
        f"{promised} seeds that took no part in the choice, as wide as those and the race's seeds "
        "fall apart",
    ]
    if result.race is not None and result.race.racing:
        lines.append(
            "  race       who is behind by its rule (`trm guide claims`) gets no more seeds; the "
            "level "
            f"is set for dropping the best in {1 - result.confidence:.0%} of races, all looks "
            "together"
        )
    if at_once(result):
        lines.append(
            f"  foreseen   with {sure} confidence the mean of {promised} further seeds is not "
            f"{worse} than this, by the race's seeds alone"
        )
    return lines


def _of_depth(result: Result) -> list[str]:
    if all(candidate.deeper is None for candidate in result.candidates):
        return []
    return [
        "  lost16x    exact accuracy at the trained depth less that at 16 times it, on the same "
        "puzzles, mean over the seeds: 0 is a config that holds when it thinks longer"
    ]
