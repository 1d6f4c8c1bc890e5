"""The winner's weights: a sweep keeps them in `winner/`, and whoever has the run finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search.config.plan import Plan, read_plan
from search.ledger.book import refuse_ablations
from search.ledger.files import RUN_FILE, SWEEP_FILE
from search.ledger.ledger import Ledger
from search.ledger.reader import read_trials
from search.ledger.storage import Place, Remote, local_copy, place, remove_tree, write_folder
from search.ledger.trial import Trial
from search.stability.result import Result, read_result
from trm.errors import UserError
from trm.files.sums import HEAD, damage_of
from trm.files.weights_only import copy_weights, weights_bytes

FOLDER = "winner"
"""In a run folder: a checkpoint without optimiser state of each trial that is kept."""


@dataclass(frozen=True)
class Weights:
    """A trained model of a run.

    Attributes:
        checkpoint: a folder on this machine, there as long as it is used.
        words: what it is, in a line.
    """

    checkpoint: Path
    words: str


def promise_runs(plan: Plan, result: Result, trials: Mapping[int, Trial]) -> list[Trial]:
    """The winner's trials over the promise seeds that ended well, the best on `valid` first."""
    seeds = set(result.promise.seeds)
    same = [one for one in trials.values() if one.seed in seeds and one.completed]
    own = [one for one in same if one.stage == "promise" and one.candidate == result.winner]
    if not own and trials[result.winner].params == plan.space.default()[0]:
        own = [one for one in same if one.stage == "reference"]  # which is then the winner's config
    return sorted(own, key=lambda one: (-plan.objective.merit(one.score or 0.0), one.id))


def keep_weights(plan: Plan, ledger: Ledger, result: Result, say: Callable[[str], None]) -> None:
    """Keep the weights of the winner's best promise trials, as the file's `stability` says.

    It may be cut short anywhere: what is there is whole or not looked at, and the next call
    completes it. An earlier winner's goes last.

    Args:
        say: is told a line where what is asked for does not fit, or is gone.
    """
    section = plan.sections.stability
    folder = ledger.folder / FOLDER
    left = None if section.keep_mb is None else section.keep_mb * 1e6
    kept: set[str] = set()
    for trial in promise_runs(plan, result, ledger.trials)[: section.keep]:
        target = folder / str(trial.id)
        source = target if _whole(target) else _checkpoint_of(ledger.folder, trial)
        if source is None:
            say(f"{target}: is not there: the checkpoint of trial {trial.id} is gone or damaged")
            continue
        with local_copy(source) as copy:
            needed = weights_bytes(copy)
            if left is not None and needed > left:
                say(
                    f"{target}: is not kept: its {needed / 1e6:.1f} MB are more than what is left "
                    f"of stability.keep_mb {section.keep_mb:g}"
                )
                continue
            left = None if left is None else left - needed
            if source != target:
                write = partial(write_folder, target, partial(copy_weights, copy))
                ledger.room.until(write, needed + (1 << 20))
        kept.add(target.name)
    lying: list[Place] = list(folder.iterdir()) if folder.is_dir() else []
    for old in lying:
        if old.name.isdigit() and old.name not in kept:
            remove_tree(old)
    if not kept:
        remove_tree(folder)


def is_run(folder: Place) -> bool:
    """Whether a place is the folder of a sweep, and not of one training or a checkpoint."""
    return any((folder / name).is_file() for name in (RUN_FILE, SWEEP_FILE))


@contextmanager
def weights_of(where: Place | str, trial: int | None = None) -> Iterator[Weights]:
    """The weights that a user means by a place: a run's winner's, one trial's, or a checkpoint's.

    Args:
        where: a run folder or its URI; else a checkpoint or the folder of one training, which are
            left as they are.
        trial: a trial of a run; None is the best of the winner's promise trials.

    Raises:
        UserError: nothing is there, or a run without a winner or such a trial, or whose checkpoint
            is gone.
    """
    folder = place(where)
    if not is_run(folder):
        if isinstance(folder, Path) and not folder.exists():
            raise UserError(str(folder), None, "is not there: check the path")
        if trial is not None:
            raise UserError("--trial", trial, f"is of a sweep's run, which {folder} is not")
        if isinstance(folder, Remote):
            raise UserError(str(folder), None, "holds no run; check the URI")
        yield Weights(folder, "")
        return
    found, words = _trial(folder, trial) if trial is not None else _best(folder)
    for source in (folder / FOLDER / str(found.id), _checkpoint_of(folder, found)):
        if source is None or not (source / HEAD).is_file():
            continue
        with local_copy(source) as copy:
            if damage_of(copy) is None:
                yield Weights(copy, words)
                return
    raise UserError(
        f"{folder}: the checkpoint of trial {found.id} is gone or damaged: name another with "
        "--trial, or train what `trm export` writes"
    )


def _best(folder: Place) -> tuple[Trial, str]:
    """The best of the winner's promise trials, and what it is."""
    plan, result, trials = read_plan(folder), read_result(folder), read_trials(folder)
    if result is None:
        refuse_ablations(folder, trials)
        raise UserError(
            f"{folder}: has no winner yet: finish it with `trm sweep ... --resume`, or name a "
            "trial with --trial"
        )
    runs = promise_runs(plan, result, trials)
    if not runs:
        raise UserError(
            f"{folder}: every promise trial of the winner failed: `trm diagnose {folder}` says "
            "why; name a trial with --trial"
        )
    best, score = runs[0], runs[0].score or 0.0
    return best, (
        f"trial {best.id}, seed {best.seed}: of {len(result.promise.seeds)} promise trials of the "
        f"winner the best on valid ({result.objective} {score:.4f}; their mean "
        f"{result.promise.mean:.4f})"
    )


def _trial(folder: Place, number: int) -> tuple[Trial, str]:
    trials = read_trials(folder)
    if number not in trials:
        raise UserError("--trial", number, f"is no trial of {folder}: see `trm status {folder}`")
    found = trials[number]
    if found.checkpoint is None:
        how = found.outcome or "unfinished"
        raise UserError("--trial", number, f"has no checkpoint ({how}): name another")
    return found, f"trial {found.id}, seed {found.seed}: {found.outcome or 'unfinished'}"


def _checkpoint_of(folder: Place, trial: Trial) -> Place | None:
    """A trial's last checkpoint, if it is there and one of ours."""
    if trial.checkpoint is None or not (folder / trial.checkpoint / HEAD).is_file():
        return None
    return folder / trial.checkpoint


def _whole(checkpoint: Place) -> bool:
    if not (checkpoint / HEAD).is_file():
        return False
    with local_copy(checkpoint) as copy:
        return damage_of(copy) is None
