"""An Optuna study in a journal or an SQLite file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from search.explore.imported.foreign import ForeignRun, ForeignTrial, State, flat, number
from trm.errors import UserError

_STATES: dict[str, State] = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "crashed"}


def read_study(source: Path, name: str | None, *, sqlite: bool) -> ForeignRun:
    """The trials of a study.

    The first value of a trial is its score. A copy is opened, for Optuna writes what it reads.

    Raises:
        UserError: damaged, of another version of Optuna, or holding no or several studies.
    """
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="trm-") as scratch:
        copy = shutil.copyfile(source, Path(scratch, "study"))
        for part in ("-wal", "-shm"):  # what SQLite has not moved into the file yet
            if (beside := source.with_name(source.name + part)).is_file():
                shutil.copyfile(beside, Path(scratch, f"study{part}"))
        try:
            storage: Any = (
                RDBStorage(f"sqlite:///{copy}") if sqlite
                else JournalStorage(JournalFileBackend(str(copy)))
            )  # fmt: skip
            names = [one.study_name for one in storage.get_all_studies()]
            study = _chosen(source, names, name)
            loaded = optuna.load_study(study_name=study, storage=storage)
            trials, directions = loaded.get_trials(deepcopy=False), loaded.directions
        except UserError:
            raise
        except Exception as error:  # whatever a damaged file makes of Optuna and SQLAlchemy
            line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(
                f"{source}: cannot be read as an Optuna study ({line}): check the file, and that "
                "Optuna can load it"
            ) from error
    ended = [trial for trial in trials if trial.state.name in _STATES]
    return ForeignRun(
        source=f"Optuna study {study} in {source}",
        trials=[_trial(trial) for trial in ended],
        unfinished=len(trials) - len(ended),
        maximizes=directions[0].name == "MAXIMIZE",
    )


def _chosen(source: Path, names: list[str], name: str | None) -> str:
    if name is None and len(names) == 1:
        return names[0]
    shown = ", ".join(names[:9])
    if not names:
        raise UserError(f"{source}: holds no study: give another file")
    if name is None:
        raise UserError(f"{source}: holds {len(names)} studies: choose with --study: {shown}")
    if name not in names:
        raise UserError("--study", name, f"is none of {source}: it holds {shown}")
    return name


def _trial(trial: Any) -> ForeignTrial:
    steps = sorted(trial.intermediate_values.items())
    curve = tuple(
        (float(step), value) for step, given in steps if (value := number(given)) is not None
    )
    score = number(trial.values[0]) if trial.values else None
    if score is None and trial.state.name == "PRUNED" and curve:
        score = curve[-1][1]
    spent = trial.duration.total_seconds() if trial.duration is not None else 0.0
    return ForeignTrial(
        name=f"trial {trial.number}",
        params=flat(trial.params),
        state=_STATES[trial.state.name],
        score=score,
        curve=curve,
        seconds=spent,
    )
