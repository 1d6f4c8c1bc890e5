"""One training in its run folder: begun or gone on with, reported, saved, stopped between steps.

config.yaml      the experiment, every value written out
start.json       where its first weights come from, if not fresh ones
reports.jsonl    the learning curve, a report a line
checkpoints/     the newest states to go on from
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from curricula.component import nearest
from trm.checkpoint import read_head, require_same_config, resume, save_checkpoint
from trm.config import SECTIONS, Experiment, absolute_files, experiment_from, load_experiment
from trm.errors import UserError
from trm.extension import EXTENDS, extended
from trm.files.driver_note import LocalFiles
from trm.files.lock import FileLock
from trm.files.presence import Presence, present
from trm.files.replace import replacing
from trm.files.run_folder import (
    LOCK,
    cache_folder,
    checkpoints_in,
    create_folder,
    latest_checkpoint,
    remove_unbegun,
    require_usable,
)
from trm.files.yaml12 import dump_yaml, read_yaml
from trm.fine_tuning import (
    START,
    Graft,
    graft,
    read_start,
    require_same_start,
    start_provenance,
    start_text,
)
from trm.parallel.leading import accompanied, require_divisible
from trm.parallel.meeting import Meeting
from trm.provenance import changed_plugins, plugin_provenance, provenance
from trm.ranks import GO_ON, SAVE, STOP
from trm.report import Report, report_json
from trm.stopping import instead_of_raising
from trm.tasks.base import Task
from trm.tasks.soundness import require_sound_task
from trm.training.steps.kernel import build_ahead
from trm.training.trainer import Trainer

KEPT_CHECKPOINTS = 2
CHECKPOINT_SECONDS = 600.0
"""A checkpoint at least so often, however far apart the reports are."""
LOST_SECONDS = 10.0
"""Of training may be lost to an evaluation that takes longer than a stop may."""

_CONFIG, _REPORTS, _CHECKPOINTS = "config.yaml", "reports.jsonl", "checkpoints"


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
    experiment = _experiment(config)
    folder = Path("runs") / f"{experiment.name}-train" if out is None else Path(out)
    named = None if start is None else Path(start)
    begun = resume and latest_checkpoint(folder) is not None
    require_divisible(experiment, meeting.size if meeting else processes, begun=begun)
    require_usable(folder, _CONFIG, resume=resume)
    build_ahead(experiment)
    task, first = _first_weights(experiment, folder, named, resume, on_data)
    is_new = not folder.exists()
    create_folder(folder, _CONFIG, resume=resume)
    lock = FileLock(folder / LOCK)
    try:
        with present(LocalFiles(folder)) as presence:
            if task is None:
                task = experiment.task.build(cache_folder(), on_data)
            require_sound_task(task)
            trainer, changed, said = _begin(experiment, task, folder, resume, first)
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
        if is_new and not (folder / _CONFIG).exists():
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


def _experiment(config: Experiment | Mapping[str, Any] | Path | str) -> Experiment:
    if isinstance(config, Experiment):
        return config
    if isinstance(config, Mapping):
        tree, folders = dict(config), []
    elif not isinstance(config, str | Path):
        raise UserError(
            f"config: a {type(config).__name__} is no experiment, tree or path: of what "
            "`read_config` gives, pass its `default`"
        )
    else:
        tree, folders = read_yaml(Path(config)), [Path(config).absolute().parent]
    for key in tree:
        if key not in SECTIONS:
            raise UserError(
                f"{key}: is no section of a training: {nearest(str(key), list(SECTIONS))}; of a "
                "sweep's file give `search.config.config.read_config(file).default`"
            )
    if "task" in tree:
        tree["task"] = absolute_files(tree["task"], *folders)
    return load_experiment(tree, folders)


def _first_weights(
    config: Experiment,
    folder: Path,
    named: Path | None,
    again: bool,
    on_data: Callable[[str, float], None] | None,
) -> tuple[Task | None, Graft | None]:
    """The task and its first weights where they come from a checkpoint and are needed.

    Before the folder is made: of a start that does not fit nothing is left.
    """
    begun = again and (folder / _CONFIG).exists()
    recorded = read_start(folder) if begun else None
    if begun:
        require_same_start(folder, recorded, named)
    place = named if recorded is None else Path(recorded.path)
    if place is None or (begun and latest_checkpoint(folder) is not None):
        return None, None
    task = config.task.build(cache_folder(), on_data)
    found = graft(place, config, task)
    if recorded is not None and found.start != recorded:
        raise UserError(
            f"{place}: has changed since the run in {folder} was begun from it: start a new run"
        )
    return task, found


def _begin(
    config: Experiment, task: Task, folder: Path, again: bool, first: Graft | None
) -> tuple[Trainer, list[str], str]:
    """A new run, or the one in the folder where it stands; the plug-ins that have changed, and
    what a larger budget means, if it has one.
    """
    changed: list[str] = []
    said = ""
    recorded = folder / _CONFIG
    start = latest_checkpoint(folder) if again else None
    head = read_head(start) if start is not None else None
    extends = head is not None and head.config.train.budget != config.train.budget
    if recorded.exists():
        before = experiment_from(read_yaml(recorded))
        require_same_config(recorded, before, config, EXTENDS if extends else ())
    if start is not None and head is not None:
        if extends:
            trainer, said = extended(start, head, task, config)
        else:
            trainer = resume(start, task)
        changed = changed_plugins(head.provenance, plugin_provenance(config.modules))
    else:
        trainer = Trainer(config, task)
        if first is not None:
            first.apply(trainer)
            _write(folder / START, start_text(first.start))
    if start is None or extends:
        _write(recorded, dump_yaml(config.tree()))
    # Reports past the checkpoint are made again; they must not stand twice.
    rows = [row for row in read_rows(folder) if row["mark"] <= trainer.counters.mark]
    if extends:
        rows = [row | {"progress": min(row["compute"] / trainer.budget, 1.0)} for row in rows]
    _write(folder / _REPORTS, "".join(json.dumps(row) + "\n" for row in rows))
    for unfinished in (folder / _CHECKPOINTS).glob(".*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    return trainer, changed, said


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
        _checkpoint(folder, trainer, origin)
        saved = time.monotonic()

    with _stop_request() as stop, (folder / _REPORTS).open("a", encoding="utf-8") as curve:

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


def _checkpoint(folder: Path, trainer: Trainer, origin: dict[str, Any]) -> None:
    counters = trainer.counters
    # With the mark: a run stopped right at a mark has a checkpoint before and after its report.
    checkpoint = folder / _CHECKPOINTS / f"{counters.step:09d}-{counters.mark:04d}"
    saves = not checkpoint.exists()
    trainer.ranks.told(lambda: {"saves": saves})
    if saves:
        save_checkpoint(checkpoint, trainer, origin)
    for old in checkpoints_in(checkpoint.parent)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The reports in a run folder; a line that was cut off when the process died does not count."""
    try:
        lines = (folder / _REPORTS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Turn a signal that asks to stop into a request to stop between two steps."""
    requested = False

    def request() -> None:
        nonlocal requested
        requested = True

    with instead_of_raising(request):
        yield lambda: requested
