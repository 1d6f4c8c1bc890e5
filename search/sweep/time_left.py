"""How long a run still takes: all its stages, at its pace so far."""

from __future__ import annotations

from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.lineage import spent
from search.ledger.trial import Trial
from search.stability.reserve import granted


def seconds_left(plan: Plan, book: Book, elapsed: float, at_once: int) -> float | None:
    """Seconds for the compute to come; a trial of the search takes the mean of those that ended.

    Args:
        elapsed: seconds of wall time.
        at_once: trials that the driver runs at once; 0 if it has not said so.
    """
    compute, seconds = spent(book.trials)
    if not compute or not elapsed:
        return None
    trials = list(book.trials.values())
    searched = [trial for trial in trials if trial.searches]
    confirmed = [trial for trial in trials if not trial.searches]
    ended = [trial for trial in searched if trial.ended and trial.attempts]
    mean = sum(trial.compute for trial in ended) / len(ended) if ended else _likely(plan)
    runs = 0.0
    if not any(trial.ablates for trial in trials):
        # The reference recipe's runs may begin beside the search.
        if not any(trial.stage in ("confirm", "promise") for trial in trials):
            over = sum(trial.ended for trial in searched)
            begun = sum(min(t.compute, mean) for t in searched if not t.ended)
            runs += max(plan.wanted * plan.seeds - over, 0) * mean - begun
        section = granted(plan, book.trials)
        over = sum(trial.ended for trial in confirmed)
        runs += max(section.runs() + 2 * section.promise_seeds - over, 0) * plan.budget
    else:
        runs += sum(not trial.ended for trial in confirmed) * plan.budget
    runs -= _begun(confirmed)
    # What has passed holds the start, and work that is not reported yet: early on it is most of it.
    pace = min(elapsed, seconds / at_once) if at_once and seconds else elapsed
    return max(runs, 0.0) * pace / compute


def _likely(plan: Plan) -> float:
    """Training FLOPs of a trial of the search, before any has ended.

    Of those that a scheduler looks at early, one in `eta` goes on.
    """
    scheduler = plan.sections.search.scheduler
    eta, rungs = getattr(scheduler, "eta", None), scheduler.marks(False)
    if eta is None or not rungs:
        return plan.budget
    return plan.budget * (min(rungs) + (1.0 - min(rungs)) / float(eta))


def _begun(trials: list[Trial]) -> float:
    return sum(trial.compute for trial in trials if not trial.ended)
