"""What of a run folder is whole: every file as it was written, and all of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from search.analysis.thought.result import THOUGHT_FILE, read_thought
from search.config.plan import read_plan
from search.engine.packing.packings import PACKING_FILE, read_packings
from search.explore.warm_start import START_FILE, read_start
from search.export.weights import FOLDER as WINNER
from search.ledger.attempts import FOLDER as ATTEMPTS
from search.ledger.attempts import read_attempts_part
from search.ledger.files import (
    RUN_FILE,
    SPARE,
    SWEEP_FILE,
    TEST_FILE,
    DamagedFileError,
    fields_of,
    read_json,
)
from search.ledger.journal import segments
from search.ledger.parquet import BLOCK, parts, read_curve_part, read_trial_part
from search.ledger.spare import read_spare_log
from search.ledger.state import LedgerState
from search.ledger.storage import Place, local_copy, place
from search.ledger.strays import strays_in
from search.ledger.trial import Trial
from search.ledger.wall_clock import TIME_FILE
from search.stability.result import RESULT_FILE, Result, read_result
from search.stability.sensitivity_result import SENSITIVITY_FILE, read_sensitivity
from trm.errors import UserError
from trm.files.sums import damage_of

Kind = Literal["whole", "damaged", "repeats", "ignored"]


@dataclass(frozen=True)
class FileState:
    """A file of a run folder.

    Attributes:
        path: its place.
        kind: `damaged` also where it is missing; `repeats`, it is gone, and what it stood for is
            done again; `ignored`, it is none of the run's.
        what: it holds, or is wrong with it.
    """

    path: Place
    kind: Kind
    what: str


@dataclass
class FolderCheck:
    """What a look at every file of a run folder found.

    Attributes:
        folder: the run's.
        found: file by file.
        trials: of the run, by id, as far as they can be read.
    """

    folder: Place
    found: list[FileState] = field(default_factory=list)
    trials: Mapping[int, Trial] = field(default_factory=dict)

    @property
    def damaged(self) -> list[FileState]:
        """What is damaged or missing."""
        return [one for one in self.found if one.kind == "damaged"]

    def text(self) -> str:
        """For a person: damage first, a line each, and the rest in short."""
        lines = [f"damaged  {_below(self.folder, o.path)}: {o.what}" for o in self.damaged]
        lines += [
            f"{one.kind:<8} {_below(self.folder, one.path)}: {one.what}"
            for one in self.found
            if one.kind != "damaged"
        ]
        if self.damaged:
            lines.append(
                f"{len(self.damaged)} damaged: `trm status {self.folder} --repair` mends what can "
                "be mended, and keeps what it replaces"
            )
        else:
            lines.append("all is whole")
        return "\n".join(lines)

    def tree(self) -> dict[str, Any]:
        """As plain values."""
        files = [
            {"file": _below(self.folder, one.path), "state": one.kind, "what": one.what}
            for one in self.found
        ]
        return {"run": str(self.folder), "whole": not self.damaged, "files": files}


def check_run(folder: Place | str) -> FolderCheck:
    """Look at every byte of a run folder, also while a driver is writing.

    >>> check_run(run).damaged
    []

    Raises:
        UserError: no run was ever here, or a newer version of this program wrote it.
    """
    where = place(folder).absolute()
    _require_run(where)
    check = FolderCheck(where)
    _check_ledger(check)
    _check_plan(check)
    for name, look in _FILES.items():
        if (where / name).is_file():
            _look(check, where / name, partial(look, check))
        elif (where / SPARE / name).is_file():
            check.found.append(FileState(where / name, "damaged", "is missing"))
    _check_checkpoints(check)
    _check_winner(check)
    _check_spare(check)
    if isinstance(where, Path):
        check.found += (
            FileState(path, "ignored", "no part of the run") for path in strays_in(where)
        )
    return check


def _require_run(folder: Place) -> None:
    marks = ((folder / RUN_FILE).is_file(), (folder / SWEEP_FILE).is_file())
    # A user's own folder may hold one such file, or folders of such names.
    ledger = bool(parts(folder / "trials") or segments(folder / "log"))
    if not (all(marks) or (any(marks) and ledger) or (ledger and (folder / SPARE).is_dir())):
        raise UserError(str(folder), None, "holds no run; check the path")


def _check_ledger(check: FolderCheck) -> None:
    state = LedgerState(check.folder, whole=True, lenient=True)
    check.trials = state.trials
    bad = {str(damage.path) for damage in state.damages}
    for damage in state.damages:
        at = "" if damage.line is None else f", line {damage.line}"
        check.found.append(FileState(damage.path, "damaged", damage.what + at))
    for path in parts(check.folder / "trials").values():
        if str(path) not in bad:
            _look(check, path, partial(_trials, path))
    for block, path in parts(check.folder / "curves").items():
        if str(path) not in bad:
            _look(check, path, partial(_curves, state, block, path))
    for path in parts(check.folder / ATTEMPTS).values():
        if str(path) not in bad:
            _look(check, path, partial(_attempts, path))
    for path in segments(check.folder / "log"):
        if str(path) not in bad:
            check.found.append(FileState(path, "whole", "log"))


def _trials(path: Place) -> str:
    return f"{len(read_trial_part(path)[0])} trials"


def _attempts(path: Place) -> str:
    return f"{len(read_attempts_part(path)[0])} attempts"


def _curves(state: LedgerState, block: int, path: Place) -> str:
    table = read_curve_part(path)
    with fields_of(path):
        last: Counter[int] = Counter()
        for trial, mark in zip(table["trial"].to_pylist(), table["mark"].to_pylist(), strict=True):
            last[trial] = max(last[trial], mark)
    for trial, rows in state.tail.items():
        if trial // BLOCK == block:
            last[trial] = max(last[trial], *(row["mark"] for row in rows))
    for number in range(block * BLOCK, (block + 1) * BLOCK):
        known = state.trials.get(number)
        if (0 if known is None else known.mark) != last[number] and not state.damages:
            what = f"holds reports of trial {number} to mark {last[number]}"
            raise DamagedFileError(path, f"{what}, and its trial says otherwise")
    return f"{table.num_rows} reports"


def _check_plan(check: FolderCheck) -> None:
    try:
        plan = read_plan(check.folder)
    except DamagedFileError as error:
        check.found.append(FileState(error.path, "damaged", error.what))
        return
    except UserError as error:
        check.found.append(FileState(check.folder / SWEEP_FILE, "damaged", str(error)))
        return
    check.found.append(FileState(check.folder / RUN_FILE, "whole", plan.run_id))
    check.found.append(
        FileState(check.folder / SWEEP_FILE, "whole", f"{plan.wanted} trials wanted")
    )


def _look(check: FolderCheck, path: Place, look: Callable[[], str]) -> None:
    try:
        check.found.append(FileState(path, "whole", look()))
    except DamagedFileError as error:
        check.found.append(FileState(path, "damaged", error.what))
    except UserError as error:
        check.found.append(FileState(path, "damaged", str(error)))


def _result(check: FolderCheck) -> str:
    result = read_result(check.folder)
    assert result is not None
    require_agreement(check.folder, result, check.trials)
    return f"winner: trial {result.winner}"


def require_agreement(folder: Place, result: Result, trials: Mapping[int, Trial]) -> None:
    """
    Raises:
        DamagedFileError: a result tells of trials that the ledger lacks.
    """
    told = {result.winner, *(one.trial for one in result.candidates)}
    gone = sorted(told - trials.keys())
    if gone:
        what = f"tells of trial {gone[0]}, of which the ledger has nothing"
        remedy = "`trm stability RUN` writes it again from the runs that are there"
        raise DamagedFileError(folder / RESULT_FILE, what, remedy)


def _tests(check: FolderCheck) -> str:
    path = check.folder / TEST_FILE
    tree = read_json(path, own=True)
    with fields_of(path):
        return f"{len([float(value) for value in tree.values()])} looks at test"


def _sensitivity(check: FolderCheck) -> str:
    return f"{', '.join(read_sensitivity(check.folder)) or 'nothing'}"


def _start(check: FolderCheck) -> str:
    plan = read_plan(check.folder)
    return f"{len(read_start(check.folder, plan).first)} first points"


def _time(check: FolderCheck) -> str:
    path = check.folder / TIME_FILE
    tree = read_json(path)
    with fields_of(path):
        return f"{float(tree['wall_seconds']):.0f} s"


def _thought(check: FolderCheck) -> str:
    found = read_thought(check.folder)
    return f"{0 if found is None else len(found.points)} depths and breadths"


def _packing(check: FolderCheck) -> str:
    return ", ".join(one.name for one in read_packings(check.folder)) or "nothing"


def _table(name: str) -> Callable[[FolderCheck], str]:
    def look(check: FolderCheck) -> str:
        read_json(check.folder / name, own=True)
        return "the table of ablations"

    return look


_FILES: dict[str, Callable[[FolderCheck], str]] = {
    RESULT_FILE: _result,
    TEST_FILE: _tests,
    SENSITIVITY_FILE: _sensitivity,
    THOUGHT_FILE: _thought,
    START_FILE: _start,
    TIME_FILE: _time,
    PACKING_FILE: _packing,
    "ablations.json": _table("ablations.json"),
    "study.json": _table("study.json"),
}


def _check_checkpoints(check: FolderCheck) -> None:
    found = 0
    for path in _needed(check):
        if not path.is_dir():
            check.found.append(FileState(path, "repeats", "is missing: its trial begins afresh"))
            continue
        if not (path / "checkpoint.json").is_file():
            continue  # a trainer of the user's own
        with local_copy(path) as copy:
            damage = damage_of(copy)
        found += damage is None
        if damage is not None:
            check.found.append(FileState(path, "damaged", f"{damage}; its trial begins afresh"))
    if found:
        check.found.append(
            FileState(check.folder / "checkpoints", "whole", f"{found} to go on from")
        )


def _check_winner(check: FolderCheck) -> None:
    """The weights that the sweep has kept; half a copy is made again, and nobody looks at it."""
    folder = check.folder / WINNER
    lying: list[Place] = list(folder.iterdir()) if folder.is_dir() else []
    for path in sorted((path for path in lying if path.name.isdigit()), key=str):
        with local_copy(path) as copy:
            damage = damage_of(copy)
        if damage is None:
            check.found.append(FileState(path, "whole", "weights of the winner"))
        else:
            what = f"{damage}; `trm sweep ... --resume` copies it again"
            check.found.append(FileState(path, "damaged", what))


def _needed(check: FolderCheck) -> Iterator[Place]:
    """The last checkpoints of trials that go on, and those of ended ones that are still there."""
    for trial in check.trials.values():
        if trial.checkpoint is None:
            continue
        path = check.folder / trial.checkpoint
        if not trial.ended or path.is_dir():
            yield path


def _check_spare(check: FolderCheck) -> None:
    if not (check.folder / SPARE).is_dir():
        return
    log, damages = read_spare_log(check.folder)
    own = [damage for damage in damages if SPARE in str(damage.path)]
    # Each file once, however much of it is damaged.
    for damage in {str(damage.path): damage for damage in reversed(own)}.values():
        what = f"{damage.what}; not needed while the rest is whole"
        check.found.append(FileState(damage.path, "damaged", what))
    if not own and log.records:
        words = "the whole journal" if not damages else "part of the journal"
        check.found.append(FileState(check.folder / SPARE, "whole", words))


def _below(folder: Place, path: Place) -> str:
    return str(path).partition("?")[0].removeprefix(str(folder).partition("?")[0] + "/")
