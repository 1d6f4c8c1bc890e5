"""What the winner's curriculum did, as its reports recorded it."""

from __future__ import annotations

import numpy as np

from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import PLAIN, RECIPE, chart, marker
from search.report.words import listed, number, share, slug

SHOWN = {
    "H_cycles": "H cycles",
    "L_cycles": "L cycles",
    "supervision_steps": "supervision steps",
    "train_difficulty": "difficulty of new examples",
    "halt_weight": "halt weight",
    "exploration": "exploration",
    "latent_noise": "latent noise",
    "lr_factor": "factor on the learning rate",
    "learning_rate": "learning rate",
}
"""Columns that a schedule drives, and their names on the page."""
_BY_CURRICULUM = [name for name in SHOWN if name != "learning_rate"]
FEWEST_POINTS = 3
"""Reports that make a trace."""
_WHOLE = ("H_cycles", "L_cycles", "supervision_steps")


def curriculum(facts: Facts) -> Section | None:
    """A small figure for each quantity that changed over the winner's run; None if none did."""
    best = facts.best
    if best is None:
        return None
    runs = facts.replicates(best.id) if facts.result is not None else []
    run = next(
        (t for t in [*runs, best] if len(facts.whole(t.id, "progress")) >= FEWEST_POINTS), None
    )
    if run is None:
        return None
    moved = [name for name in SHOWN if _moves(facts, run.id, name)]
    if not any(name in _BY_CURRICULUM and name != "train_difficulty" for name in moved):
        return None
    progress = facts.whole(run.id, "progress")
    panels = []
    for name in moved:
        values = facts.whole(run.id, name)
        figure = chart(210, showlegend=False, margin={"l": 44, "r": 10, "t": 8, "b": 36})
        figure.add_scatter(
            x=progress, y=values, mode="lines+markers", marker=marker(PLAIN, 7),
            line={"color": PLAIN.color, "width": 2, "shape": "vh" if name in _WHOLE else "linear"},
            hovertemplate="%{y:.4g} at %{x:.0%}<extra></extra>",
        )  # fmt: skip
        full = run.config["model"].get(name)
        if isinstance(full, (int, float)):
            figure.add_hline(y=full, line={"color": RECIPE.color, "dash": "dash", "width": 1})
        figure.update_xaxes(tickformat=".0%", range=[0, 1.03])
        figure.update_yaxes(rangemode="tozero", nticks=5)
        if name in _WHOLE:
            figure.update_yaxes(dtick=max(1, round(float(np.nanmax(values)) / 4)))
        panels.append(Panel(f"curriculum-{slug(name)}", figure, SHOWN[name]))
    rows = [
        (share(float(progress[i])), *(_text(n, facts.whole(run.id, n)[i]) for n in moved))
        for i in range(len(progress))
    ]
    return Section(
        "curriculum",
        "Curriculum",
        f"What trial {run.id}, a run of {'the winner' if facts.result else 'the best config'}, "
        "trained with at each report. A dashed line is the model's own full depth.",
        [
            Picture(
                "What changed over the run",
                _says(facts, run.id, moved),
                panels,
                Table(("compute", *(SHOWN[name] for name in moved)), rows),
            )
        ],
    )


def _text(name: str, value: float) -> str:
    return number(int(value) if name in _WHOLE and np.isfinite(value) else float(value))


def _moves(facts: Facts, trial: int, name: str) -> bool:
    values = facts.whole(trial, name)
    known = values[np.isfinite(values)]
    # Drawn examples differ in difficulty by chance, whatever the curriculum.
    least = 0.05 if name == "train_difficulty" else 1e-12
    return len(known) > 1 and float(np.ptp(known)) > least


def _says(facts: Facts, trial: int, moved: list[str]) -> str:
    parts = []
    for name in moved:
        if name in _BY_CURRICULUM and name != "train_difficulty":
            values = facts.whole(trial, name)
            known = values[np.isfinite(values)]
            first, last = _text(name, known[0]), _text(name, known[-1])
            parts.append(f"{SHOWN[name]} from {first} to {last}")
    return f"It moved {listed(parts)}." if parts else "Only the learning rate moved."
