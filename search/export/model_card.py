"""A model card in Markdown: what an exported config is, how good, how sure, at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.config.plan import Plan
from search.export.behaviour import Behaviour
from search.export.card_head import card_head
from search.export.summary import Summary
from search.logs.console import duration
from search.stability.claims import odds
from search.stability.recursion import still
from search.stability.standing import beats_words
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
    plan: Plan,
    config: Experiment,
    found: Summary,
    params: Mapping[str, Any],
    box: RunVerdict,
    does: Behaviour,
) -> str:
    """The card's text: the metadata of Hugging Face's hub, then Markdown.

    Args:
        config: as it is exported.
        params: what was drawn for it, parameter path to value.
        box: the verdict on it, with which the card begins.
        does: how it behaves.
    """
    sections = [
        (None, _boxed(box)),
        (None, [_STANDINGS[found.standing]]),
        ("Intended use", _intended(config, found)),
        ("How good", _table(("on `valid`", found.objective), _scores(found))),
        ("Against your defaults", _against(found)),
        ("Task and data", _table(("", ""), _data(config, found))),
        ("Parameters", _parameters(config, does, params)),
        ("Depth", _depth(found, does)),
        ("Halting", _halting(does)),
        ("Limitations", _limitations(found, does)),
        ("Cost of one training", _table(("", ""), _cost(found))),
        ("Licence", [_LICENCE]),
        ("How to reproduce", _reproduce(found, config)),
        ("Made with", _table(("", ""), _plain({**found.versions, **found.machine}))),
        ("Config", ["```yaml", dump_yaml(config.tree()).rstrip(), "```"]),
    ]
    lines = [f"# {plan.name}: trial {found.trial} of sweep {found.study}"]
    for title, body in sections:
        if body:
            lines += ["", *([f"## {title}", ""] if title else []), *body]
    return card_head(plan, config, found) + "\n" + "\n".join(lines) + "\n"


_LICENCE = (
    "TRM Search, which made this config, is under the MIT licence. That says nothing of the data "
    "and of weights that are trained on it: whoever publishes them sets `license` above."
)


def _intended(config: Experiment, found: Summary) -> list[str]:
    task = config.tree()["task"]["name"]
    return [
        f"To train a Tiny Recursive Model on the task `{task}` and to solve puzzles of its kind. "
        f"It was chosen by `{found.objective}` on the task's own `valid` puzzles; nothing is known "
        "of other puzzles, sizes or data, nor of any use in which a wrong answer does harm."
    ]


def _parameters(config: Experiment, does: Behaviour, params: Mapping[str, Any]) -> list[str]:
    tree = config.tree()
    size = "" if does.parameters is None else f"{does.parameters:,} parameters; "
    depth = f"H_cycles {tree['model']['H_cycles']}, L_cycles {tree['model']['L_cycles']}"
    flat = still(tree)
    lines = [
        f"{size}{depth}, {does.most_steps} supervision steps."
        + (f" {flat[0].upper()}{flat[1:]}." if flat else "")
    ]
    if params:
        table = _table(("parameter", "value"), _plain(params))
        lines += ["", "Drawn in the search:", "", *table]
    return lines


def _depth(found: Summary, does: Behaviour) -> list[str]:
    if not does.deeper:
        return ["Not measured beyond the trained depth: `trm eval RUN --depth 1,4,16` does."]
    rows = [(f"{n} times the trained depth", _number(v)) for n, v in sorted(does.deeper.items())]
    lines = _table(("supervision steps", "exact accuracy"), rows)
    if found.promise is not None and (lost := found.promise.deeper) is not None:
        lines += ["", f"At 16 times it {lost.words} on average over {lost.seeds} "
                  f"seeds, and loses {_number(lost.worst)} at worst."]  # fmt: skip
    return lines


def _halting(does: Behaviour) -> list[str]:
    if does.steps is None or does.early is None or does.full is None:
        return []
    saved, lost = 1 - does.steps / max(does.most_steps, 1), does.full - does.early
    time = "" if does.latency is None else f" All steps take {does.latency:.3g} s an example."
    return [
        f"It halts after {does.steps:.2f} of {does.most_steps} supervision steps on average. "
        f"Stopping there saves {saved:.0%} of the steps and costs {max(lost, 0.0):.4f} of exact "
        f"accuracy ({_number(does.early)} against {_number(does.full)}).{time}"
    ]


def _limitations(found: Summary, does: Behaviour) -> list[str]:
    lines = [f"- {words}." for words in does.found]
    if not does.found:
        which = "its trial" if does.trials == 1 else f"its {does.trials} trials"
        lines = [f"- The failure detectors found nothing in {which}."]
    few = len(found.scores)
    lines.append(
        f"- The figures rest on {few} seed{'' if few == 1 else 's'}, one set of puzzles and one "
        "kind of machine."
    )
    return lines


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
            rate = f"{found.failure_low:.0%} to {found.failure_high:.0%}"
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
            rows.append(("probability that no candidate is better", odds(c.best)))
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
        "Your defaults are the sweep file's default values, over the same seeds: expected score "
        f"{_number(base.mean)}, promised {_range(base.low, base.high)}, exact accuracy on `test` "
        f"{_number(base.test_mean)}."
    ]
    if found.improvement is not None:
        words = beats_words(found.improvement, found.confidence)
        lines += ["", f"{words[0].upper()}{words[1:]}."]
    return lines


def _data(config: Experiment, found: Summary) -> list[tuple[str, str]]:
    task = config.tree()["task"]
    return [*_plain(task), *([("hash", f"`{found.data_hash}`")] if found.data_hash else [])]


def _cost(found: Summary) -> list[tuple[str, str]]:
    rows = [("training FLOPs", f"{found.flops:.4g}")]
    if found.seconds is not None:
        rows.append(("wall time, evaluation included", duration(found.seconds)))
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
