"""A curriculum's plan as text, for terminals and logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from textwrap import fill, wrap
from typing import Any

from curricula.preview import Change, Preview
from curricula.stage import Slice
from search.analysis.curriculum import (
    NUMBERS,
    WHOLE,
    CurriculumPlan,
    at_share,
    mean_difficulty,
    numbers,
    recorded,
)

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = "._-~=+*#"
ROWS = 24
"""Milestones that are listed; of more, the first and the last."""

DIFFICULTY = "difficulty: 0% is the easiest example, 100% the hardest; ~: the mean of several bins"

_LABEL, _VALUE = 13, 7


def plan_text(plan: CurriculumPlan, width: int = 80, blocks: str = BLOCKS) -> str:
    """The whole picture: a line a quantity, the milestones, the compute.

    Args:
        width: columns of the terminal.
        blocks: eight characters from low to high.
    """
    columns = min(max(width - _LABEL - 2 * _VALUE - 4, 16), 60)
    lines = [title(plan), ""]
    rows = list(_rows(plan, columns, blocks))
    if rows:
        lines += rows
        axis = f"0 %{'share of compute':^{columns - 8}}100 %"
        lines += [f"{'':{_LABEL + _VALUE + 2}}{axis}", ""]
    lines += wrap(constants(plan), width - 1, subsequent_indent="  ")
    if plan.drives_difficulty:
        lines += wrap(DIFFICULTY, width - 1, subsequent_indent="  ")
    milestones = list(_milestones(plan, width))
    if milestones:
        when = " (at the earliest)" if plan.latest else ""
        lines += ["", f"{'share':>7}  {'step':>9}  change{when}"]
        if len(milestones) > ROWS:
            rest = len(milestones) - ROWS
            milestones[ROWS // 2 : -ROWS // 2] = [f"{'':>7}  {'...':>9}  {rest} more"]
        lines += milestones
    lines.append("")
    for sentence in summary(plan):
        lines += wrap(sentence, width - 1)
    return "\n".join(lines)


def title(plan: CurriculumPlan) -> str:
    """What is shown."""
    curriculum = plan.config.curriculum
    adaptive = " (adaptive)" if curriculum.is_adaptive else ""
    return f"curriculum {curriculum.name}{adaptive} on {plan.config.name}"


def summary(plan: CurriculumPlan) -> Iterator[str]:
    """What the budget buys, in sentences."""
    path, latest = plan.path, plan.latest
    yield (
        f"{path.steps:,} training steps for the compute of {path.full_steps:,} at full depth"
        f" (H {plan.full.H_cycles}, L {plan.full.L_cycles}), which saves {_saving(path)}."
    )
    if latest is not None and latest.steps != path.steps:
        yield f"At the latest it is {latest.steps:,} training steps, which saves {_saving(latest)}."
    if plan.config.curriculum.is_adaptive:
        yield (
            "The curriculum is adaptive: training decides. Drawn is the earliest that it may go "
            "(as if every metric were 1 from the start), and the latest (as if all stayed at 0, "
            "which leaves it to its deadline)."
            if latest is not None
            else "The curriculum is adaptive: training decides. Drawn is what it does as long as "
            "no metric changes."
        )
    if plan.reports:
        last = plan.reports[-1]
        yield (
            f"The run has {len(plan.reports)} reports, the last at step {last['step']:,} "
            f"({last['progress']:.0%} of the compute)."
        )


def _saving(path: Preview) -> str:
    if path.saved < 5e-4:
        return "nothing"
    return f"{path.saved:.1%} of what as many would cost at full depth"


def _rows(plan: CurriculumPlan, columns: int, blocks: str) -> Iterator[str]:
    """A sparkline of each driven quantity, with its values at the start and at the end."""

    shares = [(column + 0.5) / columns for column in range(columns)]

    def line(name: str, values: Sequence[float], path: Preview, ends: tuple[str, str]) -> str:
        sampled = [values[at_share(path, share)] for share in shares]
        bar = _sparkline(sampled, min(values), max(values), blocks)
        return f"{name:<{_LABEL}} {ends[0]:>{_VALUE}} {bar} {ends[1]}".rstrip()

    def both(
        name: str,
        of: Callable[[Preview], list[float]],
        show: Callable[[Preview, int], str],
        column: str,
    ) -> Iterator[str]:
        path, latest = plan.path, plan.latest
        first = line(name, of(path), path, (show(path, 0), show(path, -1)))
        yield first
        if latest is not None:
            last = line("  at latest", of(latest), latest, (show(latest, 0), show(latest, -1)))
            if last[_LABEL:] != first[_LABEL:]:
                yield last
        places, values = recorded(plan.reports, column)
        if places:
            yield _dots(places, values, columns, of(path), blocks)

    for key in plan.driven:
        yield from both(
            NUMBERS[key].removesuffix(" steps"),
            lambda path, key=key: numbers(plan, path, key),  # type: ignore[misc]
            lambda path, at, key=key: number(numbers(plan, path, key)[at], key),  # type: ignore[misc]
            key,
        )
    if plan.drives_difficulty:
        yield from both(
            "difficulty",
            lambda path: [mean_difficulty(point.stage.difficulty) for point in path.points],
            lambda path, at: slices(path.points[at].stage.difficulty),
            "train_difficulty",
        )
    if plan.drives_sources:
        for index, source in enumerate(plan.sources):
            mix = [p.stage.sources[index] if p.stage.sources else 0.0 for p in plan.path.points]
            ends = f"{mix[0]:.0%}", f"{mix[-1]:.0%}"
            yield line(f"from {source}"[:_LABEL], mix, plan.path, ends)


def _dots(
    shares: Sequence[float], values: Sequence[float], columns: int, plan: Sequence[float],
    blocks: str,
) -> str:  # fmt: skip
    """What a run recorded, on the scale of the planned path."""
    low, high = min(*plan, *values), max(*plan, *values)
    marks = [" "] * columns
    for share, value in zip(shares, values, strict=True):
        marks[min(int(share * columns), columns - 1)] = _sparkline([value], low, high, blocks)
    return f"{'  recorded':<{_LABEL + _VALUE + 1}} {''.join(marks)}".rstrip()


def _sparkline(values: Sequence[float], low: float, high: float, blocks: str) -> str:
    if high <= low:
        return blocks[len(blocks) // 2] * len(values)
    scale = (len(blocks) - 1) / (high - low)
    return "".join(blocks[round((value - low) * scale)] for value in values)


_SILENT = ("lr_factor", "stochastic_depth")
"""Numbers that most curricula do not have, and that are not told of where they do not change."""


def constants(plan: CurriculumPlan) -> str:
    """What stays as it is all the time, on one line; empty if nothing does."""
    first = plan.path.points[0].stage
    phrases = [
        f"{name} {number(numbers(plan, plan.path, key)[0], key)}"
        for key, name in NUMBERS.items()
        if key not in plan.driven and key not in _SILENT
    ]
    weights = first.supervision_weights
    if plan.weighs_steps and "supervision_steps" not in plan.driven:
        shown = " ".join(f"{weight:.2g}" for weight in weights[:5])
        phrases.append(f"supervision weights {shown}{' ...' if len(weights) > 5 else ''}")
    if first.last_step_only:
        phrases.append("only the last supervision step of an example has a loss")
    if not plan.drives_difficulty:
        phrases.append("all examples alike")
    return f"constant: {', '.join(phrases)}" if phrases else ""


def _milestones(plan: CurriculumPlan, width: int) -> Iterator[str]:
    """An entry for each step at which something jumps, begins to move, or has a label."""
    path = plan.path
    rewarm = plan.config.curriculum.rewarm_steps
    deeper = [c.first.step for c in path.changes if c.quantity in ("H_cycles", "L_cycles")]
    events = []
    for change in path.changes:
        since = [change.first.step - step for step in deeper if step <= change.first.step]
        if change.quantity == "lr_factor" and since and since[-1] < rewarm:
            if since[-1] == 0:
                events.append((change.first, f"learning rate rises again over {rewarm:,} steps"))
        elif text := _change(plan, change):
            events.append((change.first, text))
    events += [(mark.point, f"{mark.label!r} ({mark.part})") for mark in path.landmarks]
    events.sort(key=lambda event: event[0].step)
    for point, group in groupby(events, key=lambda event: event[0]):
        where = f"{point.progress:>7.1%}  {point.step + 1:>9,}  "
        texts = "; ".join(text for _, text in group)
        yield fill(texts, width - 1, initial_indent=where, subsequent_indent=" " * (len(where) + 2))


def _change(plan: CurriculumPlan, change: Change) -> str:
    """What changes, from what to what, and until when; nothing if that is too little to see."""
    key = change.quantity
    if key == "difficulty":
        name, ends = key, [slices(value) for value in (change.before, change.after)]
    elif key == "sources":
        name, ends = key, [_mix(plan, value) for value in (change.before, change.after)]
    else:
        name, ends = NUMBERS[key], [number(v, key) for v in (change.before, change.after)]
    if ends[0] == ends[1]:
        return ""
    until = ""
    if change.last.step != change.first.step:
        until = f" by {change.last.progress:.1%} (step {change.last.step + 1:,})"
    return f"{name} {ends[0]} -> {ends[1]}{until}"


def number(value: float, key: str) -> str:
    """A value of one of `NUMBERS`, short."""
    if key in WHOLE:
        return str(value)
    text = f"{value:.3g}"
    return text if len(text) <= _VALUE else f"{value:.1e}"


def slices(parts: Sequence[Slice]) -> str:
    """Which examples come next: 0 is the easiest, 100 the hardest."""
    if not parts:
        return "all"
    if len(parts) == 1:
        return f"{100 * parts[0].low:.0f}-{100 * parts[0].high:.0f}%"
    return f"~{100 * mean_difficulty(parts):.0f}%"


def _mix(plan: CurriculumPlan, shares: Sequence[float]) -> str:
    named: list[Any] = [
        f"{source} {share:.0%}" for source, share in zip(plan.sources, shares, strict=False)
    ]
    return "/".join(named) or "as they come"
