"""What a run is in a few lines, for the prompt and for notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape

from search.config.plan import Plan
from search.ledger.reader import read_trials
from search.ledger.storage import Place
from search.stability.result import Result, read_result
from trm.errors import UserError


def as_text(folder: Place, plan: Plan) -> str:
    """A line that names the run, and one for each thing to know of it."""
    return "\n".join([f"Run({str(folder)!r})", *(f"  {k}: {v}" for k, v in _lines(folder, plan))])


def as_html(folder: Place, plan: Plan) -> str:
    """The same as a table."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in _lines(folder, plan)
    )
    return f"<table><caption>{escape(str(folder))}</caption>{rows}</table>"


def _lines(folder: Place, plan: Plan) -> Iterator[tuple[str, str]]:
    yield "sweep", f"{plan.run_id}, {', then '.join(one.text() for one in plan.objectives)}"
    try:
        trials, result = read_trials(folder), read_result(folder)
    except (OSError, UserError) as error:  # whoever looks at a run in a prompt sees why, no trace
        yield "damaged", str(error)
        return
    stages: dict[str, Counter[str]] = {}
    for trial in trials.values():
        stages.setdefault(trial.stage, Counter())[trial.outcome or "unfinished"] += 1
    for stage, outcomes in stages.items():
        yield stage, ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
    if result is None:
        yield "winner", "none yet"
        return
    values = ", ".join(f"{name} = {_short(v)}" for name, v in trials[result.winner].params.items())
    yield "winner", f"trial {result.winner}" + (f": {values}" if values else "")
    yield from _promise(result)


def _promise(result: Result) -> Iterator[tuple[str, str]]:
    promise, seeds = result.promise, len(result.promise.seeds)
    yield "mean", f"{result.objective} {promise.mean:.4f} over {seeds} fresh seeds"
    yield (
        f"promised for one more seed ({result.confidence:.0%})",
        promise.undefined or f"{promise.low:.4f} to {promise.high:.4f}",
    )
    if result.reference != promise:
        yield "your defaults", f"{result.reference.mean:.4f} over the same seeds"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
