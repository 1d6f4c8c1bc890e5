"""Which checkpoints of a run folder are kept."""

from __future__ import annotations

from search.ledger.storage import Place, remove_tree


def keep_only(folder: Place, trial: int, checkpoint: str | None) -> None:
    """Remove a trial's checkpoints except one (a path relative to the run folder)."""
    kept = None if checkpoint is None else folder / checkpoint
    # What is not numbered is not ours: systems and sync tools leave files everywhere.
    for attempt in (folder / "checkpoints" / str(trial)).glob("[0-9]*"):
        if not attempt.name.isdigit() or not attempt.is_dir():
            continue
        for path in attempt.glob("[0-9]*"):
            if path.name.isdigit() and path != kept:
                remove_tree(path)
        if kept is None or attempt != kept.parent:
            remove_tree(attempt)


def is_own(trial: int, checkpoint: str | None) -> bool:
    """Whether a checkpoint is a trial's own, and not another's from which it goes on."""
    return checkpoint is not None and checkpoint.startswith(f"checkpoints/{trial}/")
