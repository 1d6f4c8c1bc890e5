"""A trial: one config with one seed; and which of its checkpoints are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from search.ledger.storage import Place, remove_tree
from search.objectives.outcome import FAILURES, Outcome

StageName = Literal[
    "explore", "population", "confirm", "promise", "reference", "sensitivity", "ablation", "study"
]
"""What a trial was run for; `study` is `ablation` in older run folders, which keep the word."""


@dataclass
class Trial:
    """One config with one seed.

    Attributes:
        id: its number in the run, from 0.
        stage: what it was run for.
        candidate: the explore trial whose config this is; -1 for the reference recipe.
        seed: the seed of weights, order, augmentation and exploration.
        params: the drawn values, parameter path to value.
        config: the drawn config tree.
        outcome: how it ended; None while it has not.
        reason: one line about a failure, else empty.
        score: the objective, never NaN; None while there is none.
        mark: the last acknowledged report's mark; 0 before the first.
        compute: training FLOPs at that mark.
        seconds: training and evaluation seconds at that mark, all attempts together.
        attempts: executions begun.
        paused: whether it waits, after its last report, until it is gone on with.
        preempted: executions that ended because their worker process died.
        checkpoint: the last acknowledged checkpoint's path, relative to the run folder; before the
            first, another trial's from which this one goes on, if any.
        started: when the first attempt began, UTC, ISO 8601.
        finished: when the outcome was known, UTC, ISO 8601.
        provenance: versions, git and data hash, device and resolved decisions of the last attempt.
        findings: what detectors of plug-ins said at the last report, as plain values: whoever reads
            the run imports no plug-in, and cannot ask them again.
        asked: of a config that was drawn, what was known when it was asked for
            (`search.explore.asks`); empty for other trials and in older run folders.
    """

    id: int
    stage: StageName
    candidate: int
    seed: int
    params: dict[str, Any]
    config: dict[str, Any]
    outcome: Outcome | None = None
    reason: str = ""
    score: float | None = None
    mark: int = 0
    compute: float = 0.0
    seconds: float = 0.0
    attempts: int = 0
    paused: bool = False
    preempted: int = 0
    checkpoint: str | None = None
    started: str | None = None
    finished: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def explores(self) -> bool:
        """Whether it was run to learn of a config of the search."""
        return self.stage == "explore"

    @property
    def breeds(self) -> bool:
        """Whether it is a stretch of a member of a population."""
        return self.stage == "population"

    @property
    def searches(self) -> bool:
        """Whether it belongs to the first stage, of either kind."""
        return self.explores or self.breeds

    @property
    def ended(self) -> bool:
        """Whether its outcome is known."""
        return self.outcome is not None

    @property
    def completed(self) -> bool:
        """Whether it ran to its end without failure."""
        return self.outcome == "completed"

    @property
    def failed(self) -> bool:
        """Whether its training failed."""
        return self.outcome in FAILURES

    @property
    def ran(self) -> bool:
        """Whether it counts as a run of its config: to its end, or into a failure."""
        return self.completed or self.failed

    @property
    def pruned(self) -> bool:
        """Whether the scheduler ended it."""
        return self.outcome == "pruned"

    @property
    def infeasible(self) -> bool:
        """Whether no model could be built from its config."""
        return self.outcome == "infeasible"

    @property
    def threads(self) -> int | None:
        """CPU threads that it trains with; None while it has not reported."""
        resolved = self.provenance.get("resolved") or {}
        return int(resolved["threads"]) if "threads" in resolved else None

    def differs_in_seed_alone(self, other: Trial) -> bool:
        """Whether two trials are runs of one config, for one purpose."""
        return self.stage == other.stage and _seedless(self.config) == _seedless(other.config)

    @property
    def ablates(self) -> bool:
        """Whether it is a run of an ablation, or of the base beside them."""
        return self.stage in ("ablation", "study")


def _seedless(config: dict[str, Any]) -> dict[str, Any]:
    train = config.get("train", {})
    return {**config, "train": {key: value for key, value in train.items() if key != "seed"}}


Row = dict[str, Any]
"""A row of a curve: trial, attempt and a report's columns."""


def keep_only(folder: Place, trial: int, checkpoint: str | None, up_to: int | None = None) -> None:
    """Remove a trial's checkpoints except one.

    Args:
        checkpoint: the one, its path relative to the run folder.
        up_to: leave alone what later attempts than this one wrote.
    """
    kept = None if checkpoint is None else folder / checkpoint
    # What is not numbered is not ours: systems and sync tools leave files everywhere.
    for attempt in (folder / "checkpoints" / str(trial)).glob("[0-9]*"):
        if not attempt.name.isdigit() or not attempt.is_dir():
            continue
        if up_to is not None and int(attempt.name) > up_to:
            continue
        for path in attempt.glob("[0-9]*"):
            if path.name.isdigit() and path != kept:
                remove_tree(path)
        if kept is None or attempt != kept.parent:
            remove_tree(attempt)


def is_own(trial: int, checkpoint: str | None) -> bool:
    """Whether a checkpoint is a trial's own, and not another's from which it goes on."""
    return checkpoint is not None and checkpoint.startswith(f"checkpoints/{trial}/")
