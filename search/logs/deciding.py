"""What each stage of a run is for, in words: what a person waits for."""

from __future__ import annotations

from search.config.plan import Plan

SWEEP = ("explore", "confirm", "promise")
"""The stages of a sweep in their order; one that breeds begins with `population`."""


def place_of(stage: str) -> str:
    """Where a stage stands among those of a sweep; empty for one that stands alone.

    >>> place_of("confirm"), place_of("sensitivity")
    ('stage 2 of 3', '')
    """
    name = {"population": "explore", "reference": "promise"}.get(stage, stage)
    return f"stage {SWEEP.index(name) + 1} of {len(SWEEP)}" if name in SWEEP else ""


def decides(stage: str, plan: Plan) -> str:
    """What a stage decides; empty where nothing is to be said."""
    section, wanted = plan.sections.stability, plan.wanted
    finalists = min(section.entrants, wanted)
    which = "config runs" if finalists == 1 else f"{finalists} configs run"
    match stage:
        case "explore":
            return f"which of {wanted} configs are worth fresh seeds: the best {which} again"
        case "population":
            members = plan.population.members
            return f"which of {members} members learn the best curriculum: the best {which} again"
        case "confirm" if finalists == 1:
            return "how the best config does over fresh seeds"
        case "confirm":
            most = section.runs()
            return (
                f"which of {finalists} configs is best over fresh seeds, in {most} trials at most"
            )
        case "promise" | "reference":
            seeds = section.promise_seeds
            return f"what one more seed of the winner gives, by {seeds} seeds that chose nothing"
        case "sensitivity":
            return "how far each setting may move before the winner gets worse"
        case "ablation":
            return "which ablations differ from the base by more than seeds do"
        case _:
            return ""
