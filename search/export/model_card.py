"""A model card in Markdown: what an exported config is, how good, how sure, at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.config.plan import Plan
from search.export.summary import Summary
from search.stability.verdict import RunVerdict
from trm.config import Experiment
from trm.files.yaml12 import dump_yaml

_STANDINGS = {
    "winner": "The winner of its sweep. The figures are over fresh seeds that took no part in "
    "choosing it.",
    "candidate": "Confirmed over fresh seeds, though another config won. The seeds took part in "
    "the choice.",
    "explored": "One trial of the search, not confirmed over fresh seeds: its score is one seed's, "
    "and optimistic if it was chosen for it.",
}


def model_card(
    plan: Plan, config: Experiment, found: Summary, params: Mapping[str, Any], box: RunVerdict
) -> str:
    """The card's text.

    Args:
        config: as it is exported.
        params: what was drawn for it, parameter path to value.
        box: the verdict on it, with which the card begins.
    """
    sections = [
        (None, _boxed(box)),
        (None, [_STANDINGS[found.standing]]),
        ("How good", _table(("on `valid`", found.objective), _scores(found))),
        ("Against the reference recipe", _against(found)),
        ("Drawn in the search", _table(("parameter", "value"), _plain(params))),
        ("Data", _table(("", ""), _data(config, found))),
        ("Cost of one run", _table(("", ""), _cost(found))),
        ("How to reproduce", _reproduce(found, config)),
        ("Made with", _table(("", ""), _plain({**found.versions, **found.machine}))),
        ("Config", ["```yaml", dump_yaml(config.tree()).rstrip(), "```"]),
    ]
    lines = [f"# {plan.name}: trial {found.trial} of sweep {found.study}"]
    for title, body in sections:
        if body:
            lines += ["", *([f"## {title}", ""] if title else []), *body]
    return "\n".join(lines) + "\n"


def _boxed(box: RunVerdict) -> list[str]:
    """The verdict as a quotation."""
    cost = ["", f"Cost: {box.cost}."] if box.cost else []
    steps = [f"- `{step.command}` {step.why}" for step in box.steps]
    lines = [
        f"**{box.title}**",
        "",
        *(f"- {_WEIGHTS[one.weight]}{one.words}." for one in box.reasons),
        *cost,
        "",
        "Next:",
        "",
        *steps,
    ]
    return [f"> {line}".rstrip() for line in lines]


_WEIGHTS = {"for": "", "care": "*Care*: ", "against": "*Against it*: ", "so": ""}


def _scores(found: Summary) -> list[tuple[str, str]]:
    sure = f"{found.confidence:.0%}"
    rows = [
        ("expected score", _number(found.expected)),
        (f"its mean over all seeds ({sure} confidence)", _range(found.mean_low, found.mean_high)),
        (f"promised for one fresh seed ({sure})", _promised(found)),
        ("seeds", ", ".join(map(str, found.seeds))),
        ("their scores", ", ".join(map(_number, found.scores))),
    ]
    if found.failures is not None:
        rows.append(("seeds that failed", f"{found.failures} of {len(found.scores)}"))
        if found.failure_low is not None and found.failure_high is not None:
            rate = f"{found.failure_low:.1%} to {found.failure_high:.1%}"
            rows.append((f"rate of failures ({sure} confidence)", rate))
    if found.promise is not None:
        rows += [
            ("interquartile mean", _number(found.promise.iqm)),
            ("exact accuracy on `test`, looked at once", _number(found.promise.test_mean)),
        ]
        if (lost := found.promise.deeper) is not None:
            words = f"{_number(lost.mean)}, the worst seed {_number(lost.worst)}"
            rows.append(("exact accuracy lost at 16 times the trained depth", words))
        if (thought := found.promise.thought) is not None:
            name = f"exact accuracy at {thought.where}, promised for one fresh seed ({sure})"
            rows.append((name, _range(thought.low, thought.high)))
        others = found.promise.values.items()
        rows += [(name, f"{value:.6g}") for name, value in others if name != found.objective]
    if found.candidate is not None:
        c = found.candidate
        rows += [
            ("robust score, by which it was ranked", _number(c.robust)),
            ("mean over the seeds of the race", f"{_number(c.mean)} over {len(c.scores)}"),
            ("score in the search, optimistic", _number(c.explored)),
        ]
        if c.best is not None:
            rows.append(("probability that no candidate is better", f"{c.best:.1%}"))
    return [(name, value) for name, value in rows if value]


def _promised(found: Summary) -> str:
    if found.promise is not None and found.promise.undefined:
        return f"undefined: {found.promise.undefined}"
    return _range(found.fresh_low, found.fresh_high)


def _against(found: Summary) -> list[str]:
    if found.reference is None:
        return []
    base = found.reference
    lines = [
        "The recipe is the sweep file's default values, over the same seeds: expected score "
        f"{_number(base.mean)}, promised {_range(base.low, base.high)}, exact accuracy on `test` "
        f"{_number(base.test_mean)}."
    ]
    if found.improvement is not None:
        better = found.improvement
        lines.append(
            f"A seed of this config beats one of the recipe with probability "
            f"{better.probability:.4f} ({found.confidence:.0%} confidence: {better.low:.4f} to "
            f"{better.high:.4f})."
        )
    return lines


def _data(config: Experiment, found: Summary) -> list[tuple[str, str]]:
    task = config.tree()["task"]
    return [*_plain(task), *([("hash", f"`{found.data_hash}`")] if found.data_hash else [])]


def _cost(found: Summary) -> list[tuple[str, str]]:
    rows = [("training FLOPs", f"{found.flops:.4g}")]
    if found.seconds is not None:
        rows.append(("seconds, evaluation included", f"{found.seconds:.1f}"))
    return rows


def _reproduce(found: Summary, config: Experiment) -> list[str]:
    lines = ["```", *commands(found), "```", ""]
    if config.promise is not None:
        lines.append(
            f"It trains with seed {config.train.seed}, the first of those above, and ends on the "
            f"same hardware with {_number(found.scores[0])}. With another seed, {found.objective} "
            f"is promised inside the interval with probability {found.confidence:.0%}."
        )
    else:
        lines.append(f"It trains with seed {config.train.seed}.")
    return lines


def commands(found: Summary) -> list[str]:
    """The commands from the sweep's folder to a trained model."""
    return [
        f"trm export RUN --trial {found.trial} --out config.yaml   # RUN: the folder of the sweep",
        "trm train config.yaml",
    ]


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    return [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]


def _plain(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(f"`{name}`", _cell(value)) for name, value in values.items()]


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
