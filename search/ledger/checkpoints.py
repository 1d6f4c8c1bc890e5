"""Which checkpoints of a run folder are kept."""

from __future__ import annotations

from search.ledger.storage import Place, remove_tree


def keep_only(folder: Place, trial: int, checkpoint: str | None) -> None:
    """Remove a trial's checkpoints except one (a path relative to the run folder)."""
    kept = None if checkpoint is None else folder / checkpoint
    for attempt in (folder / "checkpoints" / str(trial)).glob("*"):
        for path in attempt.iterdir():
            if path != kept:
                remove_tree(path)
        if kept is None or attempt != kept.parent:
            remove_tree(attempt)


def is_own(trial: int, checkpoint: str | None) -> bool:
    """Whether a checkpoint is a trial's own, and not another's from which it goes on."""
    return checkpoint is not None and checkpoint.startswith(f"checkpoints/{trial}/")
