"""The population: what each member scored, generation by generation, and who took over whom."""

from __future__ import annotations

from collections.abc import Mapping

from search.ledger.lineage import GENERATION, MEMBER, PARENT, SETTING
from search.ledger.trial import Trial
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import FAINT, ORANGE, PLAIN, Role, chart, faded, marker
from search.report.trials import CONFIGS, SAYS
from search.report.winner import mark_winner
from search.report.words import count, number, short

_MEMBER = Role(FAINT, "circle", "solid")
Path = tuple[list[float | None], list[float | None]]


def population(facts: Facts) -> Section | None:
    """Lines from each member to its parent; None where nothing was bred."""
    known = {t.id: t for t in facts.of_stage("population") if t.score is not None}
    if not known:
        return None
    figure = chart(400, xaxis_title="generation", yaxis_title=facts.objective.column)
    takeovers = [t for t in known.values() if _took_over(t, known)]
    for name, trials, color, dash in (
        ("goes on", [t for t in known.values() if not _took_over(t, known)], FAINT, "solid"),
        ("takes over another", takeovers, ORANGE, "dot"),
    ):
        x, y = _joined(trials, known)
        figure.add_scatter(
            x=x, y=y, mode="lines", name=name, hoverinfo="skip",
            line={"color": faded(color, 0.8), "width": 1.5, "dash": dash},
        )  # fmt: skip
    figure.add_scatter(
        x=[t.params[GENERATION] for t in known.values()], y=[t.score for t in known.values()],
        mode="markers", marker=marker(_MEMBER, 7), showlegend=False,
        customdata=[[t.id, t.params[MEMBER]] for t in known.values()], meta=CONFIGS,
        hovertemplate=SAYS + "<br>member %{customdata[1]}: %{y:.4g}<extra></extra>",
    )  # fmt: skip
    line = _ancestors(facts.best, known)
    figure.add_scatter(
        x=[t.params[GENERATION] for t in line], y=[t.score for t in line], mode="lines+markers",
        name="line of the winner" if facts.result else "line of the best",
        marker=marker(PLAIN, 9), line={"color": PLAIN.color, "width": 2.5},
        customdata=[t.id for t in line], meta=CONFIGS,
        hovertemplate=SAYS + "<br>%{y:.4g}<extra></extra>",
    )  # fmt: skip
    mark_winner(
        figure, facts, [t.params[GENERATION] for t in line[-1:]],
        [t.score for t in line[-1:]],
    )  # fmt: skip
    figure.update_xaxes(dtick=1)
    rows = [
        (
            f"trial {t.id}",
            str(t.params[GENERATION]),
            str(t.params[MEMBER]),
            "" if t.params[PARENT] is None else f"trial {t.params[PARENT]}",
            number(t.score, 4),
            ", ".join(
                f"{name.removeprefix(SETTING)} {short(value)}"
                for name, value in t.params.items()
                if name.startswith(SETTING)
            ),
        )
        for t in known.values()
    ]
    generations = 1 + max(t.params[GENERATION] for t in known.values())
    return Section(
        "population",
        "The population",
        "Each generation trains on from the one before it; the worst members take over the "
        "weights of the best, with changed settings.",
        [
            Picture(
                "Scores by generation",
                f"{count(len(takeovers), 'take-over')} in {count(generations, 'generation')}. "
                f"The line of the {'winner' if facts.result else 'best'} changed members "
                f"{count(sum(_took_over(t, known) for t in line), 'time')}.",
                [Panel("population", figure)],
                Table(("stretch", "generation", "member", "goes on from", "score", "settings"),
                      rows),
            )
        ],
    )  # fmt: skip


def _parent(trial: Trial, known: Mapping[int, Trial]) -> Trial | None:
    number = trial.params[PARENT]
    return None if number is None else known.get(number)


def _took_over(trial: Trial, known: Mapping[int, Trial]) -> bool:
    parent = _parent(trial, known)
    return parent is not None and parent.params[MEMBER] != trial.params[MEMBER]


def _joined(trials: list[Trial], known: Mapping[int, Trial]) -> Path:
    x: list[float | None] = []
    y: list[float | None] = []
    for trial in trials:
        parent = _parent(trial, known)
        if parent is not None:
            x += [parent.params[GENERATION], trial.params[GENERATION], None]
            y += [parent.score, trial.score, None]
    return x, y


def _ancestors(best: Trial | None, known: Mapping[int, Trial]) -> list[Trial]:
    """The best config's line, the first generation first."""
    line = [best] if best is not None and best.id in known else []
    while line and (parent := _parent(line[-1], known)) is not None:
        line.append(parent)
    return line[::-1]
