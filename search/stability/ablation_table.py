"""The table of ablations: each ablation against the base, over the same seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from curricula.component import foreign_names
from search.config.ablations import BASE
from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.stability.ablation_arms import ABLATION, arms
from search.stability.claims import odds
from search.stats.intervals import difference


@dataclass(frozen=True)
class AblationLine:
    """An ablation against the base.

    Attributes:
        name: its name.
        changes: what it changes.
        scores: one a seed that has ended; failures at the floor.
        failures: how many of them failed.
        mean: of the scores; None before the first.
        difference: its mean minus the base's, in the objective's own sign.
        low: lower end of the difference's interval (Welch); None where the spread is unknown.
        high: its upper end.
        settled: whether the interval leaves out 0.
        beats: probability that one fresh seed of it beats one of the base.
        seeds_needed: seeds each, at the spread so far, that would settle a difference of this size.
    """

    name: str
    changes: dict[str, Any]
    scores: list[float]
    failures: int
    mean: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    settled: bool = False
    beats: float | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True)
class Ablations:
    """What there is so far of a base and its ablations.

    Attributes:
        run: its folder.
        objective: the column that scores are.
        maximizes: whether more of it is better.
        confidence: of the intervals; each stands alone.
        seeds: wanted of each arm.
        budget: training FLOPs of every run.
        lines: the base first.
        left_out: by ablation of the built-in set, why it is not here.
    """

    run: str
    objective: str
    maximizes: bool
    confidence: float
    seeds: int
    budget: float
    lines: list[AblationLine]
    left_out: dict[str, str]

    @property
    def runs(self) -> str:
        """How many seeds the lines rest on, in words."""
        counts = sorted({len(line.scores) for line in self.lines})
        if counts == [1]:
            return "1 seed each"
        return f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds each"

    @property
    def complete(self) -> bool:
        """Whether every seed of every arm has ended."""
        return all(len(line.scores) >= self.seeds for line in self.lines)


def tabled(folder: str, plan: Plan, book: Book) -> Ablations:
    """The table of what has ended."""
    with foreign_names():
        chosen, left_out = arms(plan)
    objective, section = plan.objective, plan.sections
    ended: dict[str, list[Trial]] = {arm.name: [] for arm in chosen}
    for trial in sorted(book.trials.values(), key=lambda trial: trial.seed):
        if trial.ablates and trial.ran:
            ended.setdefault(trial.params[ABLATION], []).append(trial)
    scores = {
        name: [float(trial.score or 0.0) for trial in trials] for name, trials in ended.items()
    }
    lines = []
    for arm in chosen:
        own = scores[arm.name]
        line = AblationLine(
            name=arm.name,
            changes=arm.changes,
            scores=own,
            failures=sum(trial.failed for trial in ended[arm.name]),
            mean=math.fsum(own) / len(own) if own else None,
        )
        if arm.name != BASE and own and scores[BASE]:
            gap = difference(
                own, scores[BASE], section.stability.confidence,
                maximize=objective.maximizes,
                examples=plan.counted(plan.examples),
            )  # fmt: skip
            low, high = sorted(map(objective.merit, (gap.low, gap.high)))
            known = math.isfinite(low)
            line = AblationLine(
                **{
                    **vars(line),
                    "difference": objective.merit(gap.mean),
                    "low": low if known else None,
                    "high": high if known else None,
                    "settled": gap.settled,
                    "beats": gap.wins,
                    "seeds_needed": gap.seeds,
                }
            )
        lines.append(line)
    return Ablations(
        run=folder,
        objective=objective.column,
        maximizes=objective.maximizes,
        confidence=section.stability.confidence,
        seeds=section.ablations.seeds,
        budget=plan.budget,
        lines=lines,
        left_out=left_out,
    )


def ablations_markdown(found: Ablations) -> str:
    """The table as Markdown."""
    level = f"{found.confidence:.0%}"
    lines = [
        f"| ablation | {found.objective} | difference from the base ({level} interval) | failed | "
        "beats the base | seeds to settle |",
        "|---|---|---|---|---|---|",
    ]
    for line in found.lines:
        mean = "" if line.mean is None else f"{line.mean:.3f}"
        gap, beats, needed = "", "", ""
        if line.difference is not None:
            gap = f"{line.difference:+.3f}"
            if line.low is not None and line.high is not None:
                gap += f" ({line.low:+.3f} to {line.high:+.3f})"
                gap += " \\*" if line.settled else ""
            beats = "" if line.beats is None else odds(line.beats)
            needed = "" if line.seeds_needed is None else str(line.seeds_needed)
        lines.append(
            f"| {line.name} | {mean} | {gap} | {line.failures} of {len(line.scores)} | {beats} | "
            f"{needed} |"
        )
    better = "more" if found.maximizes else "less"
    lines += [
        "",
        f"{found.runs}, {found.budget:.3g} training FLOPs a run; {better} is better. "
        "\\* the interval leaves out 0. Each interval stands alone. Beats: with what probability "
        "one fresh seed of it has the better score. Settle: seeds each, at the spread seen so far.",
    ]
    if found.left_out:
        lines += ["", "Left out:", ""]
        lines += [f"- {name}: {why}" for name, why in found.left_out.items()]
    return "\n".join(lines)
