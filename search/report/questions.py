"""The questions that a reader has, in order; which sections answer each, and what is not there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from search.analysis.boundaries import FEWEST_CONFIGS
from search.analysis.thought.result import read_thought
from search.explore.enough import FEWEST, more_trials
from search.ledger.book import holds_ablations
from search.report.facts import Facts
from search.report.words import count
from search.stability.verdict import hopeless


@dataclass(frozen=True)
class Missing:
    """What a run does not have, and how to get it.

    Attributes:
        words: what, and why.
        command: that gets it.
    """

    words: str
    command: str


@dataclass(frozen=True)
class Question:
    """One part of the page.

    Attributes:
        name: of its link.
        title: the question.
        sections: names of those that answer it, in order.
        missing: what would answer more of it.
    """

    name: str
    title: str
    sections: tuple[str, ...]
    missing: tuple[Missing, ...] = ()


ORDER: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("won", "What won?", ("ablations", "curves", "front", "population", "curriculum")),
    ("sure", "How sure is it?", ("race", "luck")),
    ("why", "What matters?", ("importance", "slices", "parallel", "sensitivity")),
    ("fails", "When does it fail?", ("failures", "depth")),
    ("more", "What would more compute bring?",
     ("outlook", "search", "space", "fidelity", "halting", "thought")),
    ("spent", "What did it cost?", ("costs", "attempts")),
    ("again", "How to repeat it?", ("reproduce",)),
)  # fmt: skip
"""Name, title and sections of each."""


def questions(facts: Facts) -> list[Question]:
    """The parts of a run's page."""
    missing = {} if holds_ablations(facts.trials) else _missing(facts)
    return [
        Question(name, title, names, tuple(missing.get(name, ()))) for name, title, names in ORDER
    ]


def _missing(facts: Facts) -> dict[str, list[Missing]]:
    run = shlex.quote(facts.named)
    resume = f"trm sweep {run}/sweep.yaml --out {run} --resume"
    found: dict[str, list[Missing]] = {}
    if facts.result is None and hopeless(facts.plan, facts.book):
        return {
            "sure": [
                Missing("No winner: every trial of the search failed.", f"trm diagnose {run}")
            ],
            "why": [
                Missing(
                    "Every config failed, so none tells one value from another.",
                    f"trm diagnose {run}",
                )
            ],
        }
    whole = sum(point.outcome == "completed" for point in facts.points)
    if facts.result is None:
        words = "No winner, no race, no promise: the confirm stage has not ended."
        found["sure"] = [Missing(words, resume)]
    elif len(facts.result.candidates) == 1:
        found["sure"] = [
            Missing("No race: there was one finalist.", f"trm stability {run} --top 4")
        ]
    if whole < FEWEST and not facts.plan.breeds:
        ended = f"No importances: they need {FEWEST} configs that ran to their end, of {whole}."
        enough = more_trials(whole, facts.named, facts.plan.wanted)
        found.setdefault("why", []).append(Missing(ended, enough))
    if facts.result is not None and not facts.of_stage("sensitivity"):
        found.setdefault("why", []).append(
            Missing("Nothing varied around the winner.", f"trm sensitivity {run}")
        )
    more = found.setdefault("more", [])
    if whole < FEWEST and not facts.plan.breeds:
        what = "what another hour of searching would bring"
        if facts.plan.stops_early:
            what += ", and whether rungs rank as the end does"
        more.append(
            Missing(
                f"From {FEWEST} configs that ran to their end ({count(whole, 'config')} did) it is "
                f"known {what}.",
                more_trials(whole, facts.named, facts.plan.wanted),
            )
        )
    if whole < FEWEST_CONFIGS:
        more.append(
            Missing(
                f"No next space: it needs {FEWEST_CONFIGS} configs that ran to their end.",
                f"{resume} --trials {facts.plan.wanted + FEWEST_CONFIGS}",
            )
        )
    if facts.result is not None and read_thought(facts.folder) is None:
        more.append(
            Missing(
                "Nobody has looked at the winner with more depth and breadth of thought.",
                f"trm eval {run} --depth 1,4,16 --breadth 1,8",
            )
        )
    return found
