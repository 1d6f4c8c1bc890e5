"""What stands before the first step: the config, first weights, a new run or an old one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curricula.component import nearest
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import resume
from trm.checkpoint.sameness import require_same_config
from trm.config import SECTIONS, Experiment, absolute_files, experiment_from, load_experiment
from trm.errors import UserError
from trm.extension import EXTENDS, extended
from trm.files.run_folder import (
    cache_folder,
    latest_checkpoint,
)
from trm.files.yaml12 import dump_yaml, read_yaml
from trm.fine_tuning import (
    START,
    Graft,
    graft,
    read_start,
    require_same_start,
    start_text,
)
from trm.provenance import changed_plugins, plugin_provenance
from trm.run.folder import CHECKPOINTS, CONFIG, REPORTS, read_rows, write
from trm.tasks.base import Task
from trm.training.trainer import Trainer


def experiment_of(config: Experiment | Mapping[str, Any] | Path | str) -> Experiment:
    """The experiment that is meant by a config, in whatever form it was given."""
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


def first_weights(
    config: Experiment,
    folder: Path,
    named: Path | None,
    again: bool,
    on_data: Callable[[str, float], None] | None,
) -> tuple[Task | None, Graft | None]:
    """The task and its first weights where they come from a checkpoint and are needed.

    Before the folder is made: of a start that does not fit nothing is left.
    """
    begun = again and (folder / CONFIG).exists()
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


def begun_trainer(
    config: Experiment, task: Task, folder: Path, again: bool, first: Graft | None
) -> tuple[Trainer, list[str], str]:
    """A new run, or the one in the folder where it stands; the plug-ins that have changed, and
    what a larger budget means, if it has one.
    """
    changed: list[str] = []
    said = ""
    recorded = folder / CONFIG
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
            write(folder / START, start_text(first.start))
    if start is None or extends:
        write(recorded, dump_yaml(config.tree()))
    # Reports past the checkpoint are made again; they must not stand twice.
    rows = [row for row in read_rows(folder) if row["mark"] <= trainer.counters.mark]
    if extends:
        rows = [row | {"progress": min(row["compute"] / trainer.budget, 1.0)} for row in rows]
    write(folder / REPORTS, "".join(json.dumps(row) + "\n" for row in rows))
    for unfinished in (folder / CHECKPOINTS).glob(".*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    return trainer, changed, said
