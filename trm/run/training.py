"""One training from its config to its end, or until somebody asks to stop."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trm.config import Experiment
from trm.files.driver_note import LocalFiles
from trm.files.lock import FileLock
from trm.files.presence import Presence, present
from trm.files.run_folder import (
    LOCK,
    cache_folder,
    create_folder,
    latest_checkpoint,
    remove_unbegun,
    require_usable,
)
from trm.fine_tuning import (
    read_start,
    start_provenance,
)
from trm.parallel.leading import accompanied, require_divisible
from trm.parallel.meeting import Meeting
from trm.provenance import provenance
from trm.ranks import GO_ON, SAVE, STOP
from trm.report import Report, report_json
from trm.run.beginning import begun_trainer, experiment_of, first_weights
from trm.run.folder import CONFIG, REPORTS, keep_checkpoint, read_rows
from trm.stopping import instead_of_raising
from trm.tasks.soundness import require_sound_task
from trm.training.steps.kernel import build_ahead
from trm.training.trainer import Trainer

CHECKPOINT_SECONDS = 600.0
"""A checkpoint at least so often, however far apart the reports are."""
LOST_SECONDS = 10.0
"""Of training may be lost to an evaluation that takes longer than a stop may."""


class Stopped(KeyboardInterrupt):
    """A signal has stopped a training, whose state is saved.

    Attributes:
        step: steps trained so far.
        folder: the run folder, to go on from with `resume=True`.

    >>> str(Stopped(7, Path("runs/mine")))
    'stopped at step 7 and saved: resume=True goes on in runs/mine'
    """

    def __init__(self, step: int, folder: Path) -> None:
        super().__init__(f"stopped at step {step} and saved: resume=True goes on in {folder}")
        self.step = step
        self.folder = folder


@dataclass(frozen=True)
class Training:
    """A training that has come to its end, which may be that it diverged or collapsed.

    Attributes:
        folder: its run folder.
        trainer: as it stands: `trainer.model`, `trainer.evaluate()`, `trainer.counters`.
        rows: the reports as in `reports.jsonl`; what is not finite is None.

    >>> from tempfile import mkdtemp
    >>> tiny = {
    ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
    ...              "valid_examples": 8, "test_examples": 8},
    ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "halt_max_steps": 2},
    ...     "train": {"batch_size": 8, "budget": {"steps": 2}, "reports": 1},
    ... }
    >>> training = train(tiny, out=mkdtemp())
    >>> training.trainer.counters.step, training.failed, training.last["mark"]
    (2, False, 1)
    """

    folder: Path
    trainer: Trainer
    rows: tuple[dict[str, Any], ...]

    @property
    def failed(self) -> bool:
        """Whether it diverged or collapsed."""
        return self.trainer.counters.diverged or self.trainer.counters.collapsed

    @property
    def outcome(self) -> str:
        """`completed`, `diverged` or `collapsed`."""
        counters = self.trainer.counters
        return (
            "diverged" if counters.diverged else "collapsed" if counters.collapsed else "completed"
        )

    @property
    def last(self) -> dict[str, Any]:
        """The last report."""
        return self.rows[-1]


def train(
    config: Experiment | Mapping[str, Any] | Path | str,
    out: Path | str | None = None,
    *,
    start: Path | str | None = None,
    resume: bool = False,
    processes: int = 1,
    meeting: Meeting | None = None,
    on_data: Callable[[str, float], None] | None = None,
    on_begin: Callable[[Trainer, list[str]], None] | None = None,
    on_step: Callable[[float], None] | None = None,
    on_report: Callable[[Report], object] | None = None,
    on_extended: Callable[[str], object] | None = None,
    on_start: Callable[[str], object] | None = None,
) -> Training:
    """Train one model from a config, with a run folder, as the command `trm train` does.

    A signal (Ctrl-C, SIGTERM, SIGHUP) or `trm stop` stops between two steps and saves; a second
    Ctrl-C is obeyed at once. Outside of the main thread signals are left alone.

    Args:
        config: an experiment, its tree of plain values, or the path of a YAML file that holds
            one. `search.config.config.read_config` reads presets and files of a sweep: its
            `default` is an experiment.
        out: the run folder; None: `runs/NAME-train`.
        start: a checkpoint, or the folder of a training for its newest, whose weights the run
            begins with (`trm.fine_tuning`): the averaged ones where it has them, with a fresh
            optimiser, step count and curriculum. A run that goes on needs it no more.
        resume: go on with the run in `out` where it stands, or begin it. With a larger
            `train.budget` than it was begun with, the run is extended; then `train.reports` may
            change too.
        processes: how many train it together on this machine, each on its share of every batch
            and on a GPU or with `train.threads` of its own; the numbers are those of one process
            but for rounding, and a run may go on with another number of them.
        meeting: of processes that are there already, which this one leads.
        on_data: told what of the task's data is being made, and the share that is there.
        on_begin: told the trainer before its first step, and the plug-ins whose code has changed
            since the run was begun; None: such a change is a warning.
        on_step: told the share of the compute budget that is spent, after each step.
        on_report: told each report once it is saved.
        on_extended: told in words what a larger budget means for the run.
        on_start: told in words what a run takes over from `start`.

    Raises:
        UserError: bad config; `start` is no checkpoint, damaged, or of another network; `out` holds
            another run, is in use, or cannot be written; one line naming key, value and remedy.
        Stopped: a signal has stopped it; it is saved.
        LostProcessError: one of several processes has ended; the run can be resumed.

    >>> from tempfile import mkdtemp
    >>> config = {
    ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
    ...              "valid_examples": 8, "test_examples": 8},
    ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
    ...     "train": {"batch_size": 8, "budget": {"steps": 4}, "reports": 2},
    ... }
    >>> training = train(config, out=mkdtemp(), on_report=lambda report: print(report.step))
    2
    4
    >>> training.last["step"], training.failed
    (4, False)
    """
    experiment = experiment_of(config)
    folder = Path("runs") / f"{experiment.name}-train" if out is None else Path(out)
    named = None if start is None else Path(start)
    begun = resume and latest_checkpoint(folder) is not None
    require_divisible(experiment, meeting.size if meeting else processes, begun=begun)
    require_usable(folder, CONFIG, resume=resume)
    build_ahead(experiment)
    task, first = first_weights(experiment, folder, named, resume, on_data)
    is_new = not folder.exists()
    create_folder(folder, CONFIG, resume=resume)
    lock = FileLock(folder / LOCK)
    try:
        with present(LocalFiles(folder)) as presence:
            if task is None:
                task = experiment.task.build(cache_folder(), on_data)
            require_sound_task(task)
            trainer, changed, said = begun_trainer(experiment, task, folder, resume, first)
            if first is not None and on_start is not None:
                on_start(first.start.in_words(task.vocab_size, task.num_puzzle_identifiers))
            if said and on_extended is not None:
                on_extended(said)
            if on_begin is not None:
                on_begin(trainer, changed)
            elif changed:
                warnings.warn(f"plug-ins have other code now: {', '.join(changed)}", stacklevel=2)
            presence.tells(partial(_standing, trainer))
            presence.tell("running")
            with accompanied(trainer, processes, meeting):
                _train(trainer, folder, presence, on_step, on_report)
            if not trainer.finished:
                raise Stopped(trainer.counters.step, folder)
            return Training(folder, trainer, tuple(read_rows(folder)))
    finally:
        lock.release()
        if is_new and not (folder / CONFIG).exists():
            remove_unbegun(folder)


def _standing(trainer: Trainer) -> dict[str, Any]:
    """Where a training is between two reports, in their columns; for another thread."""
    counters = trainer.counters
    return {
        "step": counters.step,
        "compute": counters.compute,
        "progress": trainer.progress,
        "seconds": counters.seconds,
    }


def _train(
    trainer: Trainer,
    folder: Path,
    presence: Presence,
    on_step: Callable[[float], None] | None,
    on_report: Callable[[Report], object] | None,
) -> None:
    """Train to the end, or until somebody asks to stop."""
    origin = provenance(trainer.config.modules) | start_provenance(read_start(folder))
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        keep_checkpoint(folder, trainer, origin)
        saved = time.monotonic()

    with _stop_request() as stop, (folder / REPORTS).open("a", encoding="utf-8") as curve:

        def between_steps() -> bool:
            if on_step is not None:
                on_step(trainer.progress)
            unsaved = time.monotonic() - saved
            due = unsaved > CHECKPOINT_SECONDS or (trainer.at_mark and unsaved > LOST_SECONDS)
            wish = STOP if stop() or presence.asked else SAVE if due else GO_ON
            agreed = trainer.ranks.highest(wish)
            if agreed == SAVE:
                save()
            return agreed == STOP

        for report in trainer.run(between_steps):
            curve.write(report_json(report) + "\n")
            curve.flush()
            os.fsync(curve.fileno())
            save()
            if on_report is not None:
                on_report(report)
        if not trainer.finished:
            save()


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Turn a signal that asks to stop into a request to stop between two steps."""
    requested = False

    def request() -> None:
        nonlocal requested
        requested = True

    with instead_of_raising(request):
        yield lambda: requested
