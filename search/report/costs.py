"""What the run cost, by stage and by how trials ended, and what early stopping saved."""

from __future__ import annotations

from collections import defaultdict

from search.analysis.at_work import elapsed_of
from search.analysis.use import cost_of
from search.config.share import devices_of, share_had
from search.ledger.lineage import PARENT, devices_had, spent
from search.logs.console import duration
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import BLUE, FAINT, GREEN, ORANGE, PURPLE, SKY, VERMILION, chart
from search.report.words import count, number, share

LOOKS = {
    "completed": (BLUE, ""),
    "pruned": (SKY, "/"),
    "diverged": (VERMILION, "x"),
    "collapsed": (ORANGE, "x"),
    "oom": (PURPLE, "+"),
    "crashed": (GREEN, "+"),
    "stopped": (FAINT, "."),
    "infeasible": (FAINT, "-"),
    "unfinished": (FAINT, "|"),
}
"""Colour and hatching by outcome."""


def costs(facts: Facts) -> Section | None:
    """Bars of FLOPs and of seconds; None before anything has run."""
    compute: dict[tuple[str, str], float] = defaultdict(float)
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    device_seconds: dict[tuple[str, str], float] = defaultdict(float)
    had = share_had(facts.plan, facts.trials.values())
    trials: dict[tuple[str, str], int] = defaultdict(int)
    for trial in facts.trials.values():
        key = trial.stage, trial.outcome or "unfinished"
        parent = trial.params.get(PARENT) if trial.breeds else None
        before = facts.trials[parent] if parent is not None and trial.mark else None
        compute[key] += trial.compute - (before.compute if before else 0.0)
        took = trial.seconds - (before.seconds if before else 0.0)
        seconds[key] += took
        device_seconds[key] += took * devices_had(trial, devices_of(had), gpus=bool(had.gpus))
        trials[key] += 1
    if not any(compute.values()):
        return None
    stages = list(dict.fromkeys(stage for stage, _ in trials))
    panels = [
        _bars("flops", "training FLOPs", stages, compute),
        _bars("seconds", "worker hours", stages, {k: v / 3600 for k, v in seconds.items()}),
    ]
    rows = [
        (
            stage,
            outcome,
            f"{trials[stage, outcome]:,}",
            f"{compute[stage, outcome]:.2e}",
            duration(seconds[stage, outcome]),
            f"{device_seconds[stage, outcome] / 3600:.3f}",
        )
        for stage, outcome in sorted(trials, key=lambda key: (stages.index(key[0]), key[1]))
    ]
    return Section(
        "costs",
        "Costs",
        f"One full training is {facts.plan.budget:.2e} training FLOPs, whatever depth it draws. "
        "Seconds are those of workers, evaluation included, all attempts together.",
        [
            Picture(
                "By stage and outcome",
                _says(facts),
                panels,
                Table(("stage", "ended", "trials", "FLOPs", "worker time", "device-hours"), rows),
                wide=True,
            )
        ],
    )


def _bars(name: str, title: str, stages: list[str], amounts: dict[tuple[str, str], float]) -> Panel:
    figure = chart(
        120 + 40 * len(stages), barmode="stack", xaxis_title=title,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )  # fmt: skip
    for outcome, (color, shape) in LOOKS.items():
        values = [amounts.get((stage, outcome), 0.0) for stage in stages]
        if any(values):
            figure.add_bar(
                y=stages, x=values, name=outcome, orientation="h",
                marker={"color": color, "pattern": {"shape": shape, "solidity": 0.35}},
                hovertemplate="%{y}, " + outcome + ": %{x:.3g}<extra></extra>",
            )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=stages[::-1], showgrid=False)
    figure.update_xaxes(exponentformat="power", nticks=5)
    return Panel(f"costs-{name}", figure, title)


def _money(facts: Facts) -> str:
    """Device hours, and what they cost where the file gives a price."""
    found = cost_of(facts.plan, facts.book, None)
    hours = f"{found.device_hours:.3g} {found.device}-hours"
    if found.money is None:
        return f"Those are {hours}; `cluster.price` in the file says what an hour costs."
    return f"Those are {hours}, {found.money:.2f} at cluster.price."


def _says(facts: Facts) -> str:
    compute, seconds = spent(facts.trials)
    full = facts.plan.budget
    wall = elapsed_of(facts.folder)
    clock = "" if wall is None else f" It was {duration(wall)} by the clock."
    text = (
        f"All of it took {compute:.2e} training FLOPs, that of {number(compute / full, 1)} full "
        f"trainings, and {duration(seconds)} of workers.{clock} {_money(facts)}"
    )
    searched = [t for t in facts.trials.values() if t.explores]
    pruned = [t for t in searched if t.pruned]
    if pruned:
        saved = sum(full - t.compute for t in pruned)
        had = sum(t.compute for t in searched)
        text += (
            f" Stopping {count(len(pruned), 'trial')} early saved {share(saved / (had + saved))} "
            "of what the search would have cost."
        )
    failed = sum(
        t.compute for t in facts.trials.values()
        if t.failed
    )  # fmt: skip
    if failed:
        text += f" Failures took {share(failed / compute)}."
    return text
