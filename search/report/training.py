"""The page of one training: where it stands, its curves, what detectors found, how to repeat it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.analysis.diagnosis import diagnose_folder
from search.analysis.training_status import CONFIG, TrainingState, reports_in, training_state
from search.logs.console import duration, exact_text
from search.report.headline import Figure, Headline
from search.report.page import IN_A_FILE, Around, page
from search.report.section import Code, Panel, Picture, Section, Table
from search.report.theme import OTHERS, PLAIN, Role, chart
from search.report.words import number
from trm.diagnostics import describe
from trm.files.yaml12 import dump_yaml, read_yaml
from trm.report import COLUMNS

_PANELS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("accuracy", "accuracy on valid", ("exact_accuracy", "cell_accuracy")),
    ("loss", "training loss", ("train_loss",)),
    ("halting", "mean steps before it halts", ("mean_steps",)),
    ("rate", "learning rate", ("learning_rate",)),
)
"""Name, title and columns of each figure."""
_LEAST = 3
"""Reports that make a curve."""
_SHOWN = ("step", "progress", "exact_accuracy", "cell_accuracy", "train_loss", "mean_steps",
          "learning_rate", "seconds")  # fmt: skip
Row = dict[str, Any]


def training_page(folder: Path, around: Around = IN_A_FILE) -> str:
    """The HTML of a training's report, finished or not.

    Raises:
        UserError: its config or its reports cannot be read.
    """
    state, rows = training_state(folder), reports_in(folder)
    sections = [_curves(state, rows), _findings(folder, rows), _repeat(folder)]
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    about = f"{state.name}, one training; written {when} by TRM Search"
    return page(_headline(state), [one for one in sections if one is not None], about, around)


def _headline(state: TrainingState) -> Headline:
    last = state.last
    verdict = f"One training, {state.state}: {state.share:.0%} of its compute is spent."
    if last:
        verdict += f" At step {last['step']:,}: {exact_text(last)} on valid."
    figures = [
        Figure(number(last.get(name), 3), name.replace("_", " "), COLUMNS[name].meaning)
        for name in ("exact_accuracy", "cell_accuracy", "mean_steps")
        if last.get(name) is not None
    ]
    figures.append(Figure(duration(state.seconds), "training time", "evaluations included"))
    missing = [] if last else [f"No report yet, of {state.marks}."]
    if state.left is not None:
        missing.append(f"When this was written it went on, with about {duration(state.left)} left.")
    verdict += " One seed says nothing of the spread over seeds: `trm sweep` confirms over several."
    return Headline(state.name, verdict, figures, {}, missing)


def _curves(state: TrainingState, rows: Sequence[Row]) -> Section | None:
    if not rows:
        return None
    panels = [
        Panel(f"training-{name}", _chart(columns, rows), title)
        for name, title, columns in _PANELS
        if len(rows) >= _LEAST and any(_is_known(row.get(columns[0])) for row in rows)
    ]
    says = f"{len(rows)} reports of {state.marks}."
    if not panels:
        says += f" A curve is drawn from {_LEAST} on."
    table = Table(_SHOWN, [[number(row.get(name), 4) for name in _SHOWN] for row in rows])
    return Section(
        "curves",
        "Learning curve",
        "",
        [Picture("Reports on valid", says, panels, table, wide=True)],
    )


def _chart(columns: Sequence[str], rows: Sequence[Row]) -> Any:
    figure = chart(300, xaxis_title="training step")
    if columns == ("learning_rate",):
        top = max(
            float(row["learning_rate"]) for row in rows if _is_known(row.get("learning_rate"))
        )
        figure.update_yaxes(exponentformat="e", tickformat=".1e", range=[0.0, 1.1 * top or 1.0])
    for column, role in zip(columns, (PLAIN, OTHERS[0]), strict=False):
        _line(figure, column, role, rows)
    return figure


def _line(figure: Any, column: str, role: Role, rows: Sequence[Row]) -> None:
    known = [row for row in rows if _is_known(row.get(column))]
    figure.add_scatter(
        x=[row["step"] for row in known], y=[row[column] for row in known], mode="lines+markers",
        name=column, line={"color": role.color, "dash": role.dash, "width": 2},
        hovertemplate="step %{x}: %{y:.4g}<extra>" + column + "</extra>",
    )  # fmt: skip


def _is_known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _findings(folder: Path, rows: Sequence[Row]) -> Section | None:
    if not rows:
        return None
    found = [one for each in diagnose_folder(folder) for one in each.findings]
    says = describe(tuple(found)) if found else "Nothing that the detectors look for."
    table = Table(
        ("detector", "what"), [(one.detector.replace("_", " "), describe((one,))) for one in found]
    )
    return Section("findings", "What detectors found", "", [Picture("In words", says, [], table)])


def _repeat(folder: Path) -> Section:
    name = shlex.quote(folder.name)
    commands = [
        f"trm train {name}/{CONFIG} --out {name}-again    # the same numbers on the same hardware",
        f"trm eval {name} --split test",
        f"trm diagnose {name}",
    ]
    text = dump_yaml(_elsewhere(read_yaml(folder / CONFIG))).rstrip()
    return Section(
        "reproduce", "How to repeat it", "", [], [Code("Commands", "\n".join(commands)),
                                                 Code(CONFIG, text)],
    )  # fmt: skip


def _elsewhere(node: Any) -> Any:
    """A config whose data files stand beside it: the page is for others, who have other folders."""
    if isinstance(node, list):
        return [_elsewhere(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: Path(child).name if key == "file" and isinstance(child, str) else _elsewhere(child)
        for key, child in node.items()
    }
