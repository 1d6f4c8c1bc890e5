"""Makes a damaged run folder whole again, from its second copies and its journal.

Nothing is thrown away: what is replaced lies in a dated folder inside the run afterwards.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.analysis.check import FolderCheck, check_run
from search.analysis.thought.result import THOUGHT_FILE
from search.engine.packing.packings import PACKING_FILE
from search.explore.warm_start import START_FILE
from search.export.weights import FOLDER as WINNER
from search.ledger.attempts import FOLDER as ATTEMPTS
from search.ledger.attempts import write_attempts
from search.ledger.book import Book, apply, note_attempt
from search.ledger.files import (
    FOLDERS,
    RUN_FILE,
    SPARE,
    SWEEP_FILE,
    TEST_FILE,
    run_of,
    write_atomically,
)
from search.ledger.journal import JournalRecord, head, segments
from search.ledger.ledger import lock_of
from search.ledger.parquet import (
    BLOCK,
    CURVES,
    TRIALS,
    part,
    parts,
    read_curve_part,
    trial_row,
    write_part,
)
from search.ledger.seal import DamagedError, check_text, open_json, seal_line
from search.ledger.spare import read_spare_log, spare_segments, write_base
from search.ledger.state import LedgerState
from search.ledger.storage import Place, Remote, place
from search.ledger.trial import Row
from search.ledger.wall_clock import TIME_FILE
from search.stability.result import RESULT_FILE
from search.stability.sensitivity_result import SENSITIVITY_FILE
from trm.errors import UserError

_AGAIN = {
    RESULT_FILE: "`trm stability RUN` writes it again from the runs that are there",
    SENSITIVITY_FILE: "`trm sensitivity RUN` makes it again",
    THOUGHT_FILE: "`trm eval RUN --depth ...` writes it again",
    TEST_FILE: "`trm stability RUN` looks again",
    TIME_FILE: "hours are counted from 0",
    PACKING_FILE: "`trm sweep ... --resume` measures again",
    "ablations.json": "`trm ablate ... --resume` writes it again",
    "study.json": "`trm ablate ... --resume` writes it again",
}
"""What can be done without, and how it comes back."""


@dataclass
class Repair:
    """What was done to a run folder.

    Attributes:
        done: a line for each thing that was mended.
        left: a line for each that could not be.
    """

    folder: Place
    replaced: Place
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged any more."""
        return not self.left

    def tree(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "run": str(self.folder),
            "whole": self.whole,
            "mended": self.done,
            "damaged": self.left,
            "replaced": str(self.replaced) if self.replaced.exists() else None,
        }

    def text(self) -> str:
        """For a person."""
        lines = [f"mended   {line}" for line in self.done]
        lines += [f"damaged  {line}" for line in self.left]
        if self.replaced.exists():
            lines.append(f"what was replaced lies in {self.replaced}")
        lines.append("all is whole" if self.whole else "the rest: restore it from a copy")
        return "\n".join(lines)


def repair_run(folder: Place | str) -> Repair:
    """Mend what can be mended of a run folder that no driver holds.

    Raises:
        UserError: a driver holds it, no run was ever here, or it cannot be written.
    """
    where = place(folder).absolute()
    check_run(where)
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    repair = Repair(where, where / f"replaced-{when}")
    try:
        lock = lock_of(where)
    except OSError as error:
        raise UserError(str(where), None, f"cannot be written ({error})") from error
    try:
        for mend in (_mend_head, _mend_ledger, _mend_files):
            mend(repair, check_run(where))
        repair.left = [f"{one.path}: {one.what}" for one in check_run(where).damaged]
    finally:
        lock.release()
    return repair


def _mend_head(repair: Repair, check: FolderCheck) -> None:
    """`run.json` comes first: by its id the other copies are known to be of this run."""
    for name in (RUN_FILE, SWEEP_FILE):
        for one in check_run(repair.folder).damaged:
            if one.path == repair.folder / name:
                _put_back(repair, one.path)


def _mend_files(repair: Repair, check: FolderCheck) -> None:
    for path in (one.path for one in check.damaged):
        if path.parent == repair.folder and path.name == START_FILE:
            _put_back(repair, path)
        elif path.parent == repair.folder and path.name in _AGAIN:
            if not _put_back(repair, path):
                # A second copy that is left would have the file count as lost.
                for one in (path, path.parent / SPARE / path.name):
                    _set_aside(repair, one)
                repair.done.append(f"{path.name}: set aside; {_AGAIN[path.name]}")
        elif path.parent.parent.parent == repair.folder / "checkpoints" and path.exists():
            _set_aside(repair, path)
            repair.done.append(f"{_below(repair, path)}: set aside; its trial begins afresh")
        elif path.parent == repair.folder / WINNER:
            _set_aside(repair, path)
            again = "`trm sweep ... --resume` copies it again"
            repair.done.append(f"{_below(repair, path)}: set aside; {again}")
        elif path.parent == repair.folder / SPARE / "log":
            _set_aside(repair, path)
            repair.done.append(f"{_below(repair, path)}: set aside; nothing of the run needs it")


def _put_back(repair: Repair, path: Place) -> bool:
    """Replace a file by its second copy, if that is whole."""
    copy = path.parent / SPARE / path.name
    try:
        text = copy.read_text(encoding="utf-8")
        if path.name == SWEEP_FILE:
            whole = check_text(text, run_of(repair.folder))
        else:
            own = path.name not in (RUN_FILE, START_FILE, TIME_FILE)
            open_json(json.loads(text), run_of(repair.folder) if own else "")
            whole = True
    except (OSError, ValueError, TypeError, DamagedError):
        return False
    if not whole or _same(path, text):
        return False
    _set_aside(repair, path)
    write_atomically(path, text)
    repair.done.append(f"{path.name}: put back from {SPARE}/")
    return True


def _same(path: Place, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def _mend_ledger(repair: Repair, check: FolderCheck) -> None:
    """Write the Parquet files anew, and begin a new segment where the log was damaged."""
    folder = repair.folder
    bad = [one.path for one in check.damaged if _is_of_ledger(folder, one.path)]
    if not bad:
        return
    log, damages = read_spare_log(folder)
    state = LedgerState(folder, lenient=True)
    in_log = [path for path in bad if path.parent == folder / "log" or path == folder / "log"]
    in_parts = [path for path in bad if path not in in_log]
    begins = log.segments[0] if log.segments else None
    told = begins is not None and (begins.base or begins.first == 1)
    if told and not any(SPARE in str(damage.path) for damage in damages):
        book = _retold(log.records)
    elif in_parts:
        return  # nothing says what they held
    else:
        book = _as_known(state)
    lost = book.cut()
    last = max([state.sequence, *(record["n"] for record in log.records)])
    for name in FOLDERS:
        if isinstance(folder, Path):
            (folder / name).mkdir(exist_ok=True)
    for name in (*FOLDERS[:2], ATTEMPTS):
        for path in parts(folder / name).values():
            _set_aside(repair, path)
    for block in sorted({number // BLOCK for number in book.trials} | {0}):
        _write_block(repair.folder, book, block, last, state.ledger)
    _begin_log(repair, book, last, state.ledger)
    for path in bad:
        repair.done.append(f"{_below(repair, path)}: made again of {len(book.trials)} trials")
    repair.done += lost


class _Recovered(Book):
    """What is left of a run's trials, attempts and curves."""

    def take(self, record: JournalRecord) -> None:
        """Take in a record, unless it is of a trial whose beginning is lost."""
        if record["t"] in self.trials or record["k"] == "trial":
            self._take(record)

    def _take(self, record: JournalRecord) -> None:
        row = apply(self.trials, record)
        if row is not None:
            self._tail[record["t"]].append(row)
        note_attempt(self.attempts, record)

    def put(self, rows: Mapping[int, Sequence[Row]]) -> None:
        """Take in rows of curves; those that are known already are left out."""
        for number, new in rows.items():
            known = {row["mark"] for row in self._tail[number]}
            self._tail[number] += (row for row in new if row["mark"] not in known)

    def cut(self) -> list[str]:
        """Leave out what comes after the first trial that is lost, and say so."""
        whole = next(n for n in range(len(self.trials) + 1) if n not in self.trials)
        later = [number for number in self.trials if number > whole]
        for number in later:
            del self.trials[number]
            self._tail.pop(number, None)
            self.attempts.pop(number, None)
        if not later:
            return []
        return [
            f"trial {whole} is lost, and {len(later)} after it, which were drawn later, with it"
        ]


def _retold(records: Sequence[JournalRecord]) -> _Recovered:
    """What all sound records since the first say."""
    book = _Recovered()
    for record in records:
        book.take(record)
    return book


def _as_known(state: LedgerState) -> _Recovered:
    """What the files and the sound records of the log say."""
    book = _Recovered()
    book.trials.update(state.trials)
    book.attempts.update(state.attempts)
    stored: dict[int, list[Row]] = defaultdict(list)
    for path in parts(state.folder / "curves").values():
        for row in read_curve_part(path).to_pylist():
            stored[row["trial"]].append(row)
    book.put(stored)
    book.put(state.tail)
    return book


def _write_block(folder: Place, book: Book, block: int, last: int, ledger: str | None) -> None:
    own = [trial for number, trial in sorted(book.trials.items()) if number // BLOCK == block]
    rows = [row for trial in own for row in book.curve(trial.id)]
    write_part(part(folder / "curves", block), rows, CURVES, last, ledger=ledger)
    attempts = [one for trial in own for one in book.attempts.get(trial.id, ())]
    if attempts:
        path = part(folder / ATTEMPTS, block)
        if isinstance(path, Path):
            path.parent.mkdir(exist_ok=True)
        write_attempts(path, attempts, last, ledger=ledger)
    write_part(
        part(folder / "trials", block), map(trial_row, own), TRIALS, last,
        ledger=ledger, curves=last, attempts=last if attempts else 0,
    )  # fmt: skip


def _is_of_ledger(folder: Place, path: Place) -> bool:
    ledger = {str(folder / name) for name in (*FOLDERS, ATTEMPTS)}
    return str(path) in ledger or str(path.parent) in ledger


def _begin_log(repair: Repair, book: Book, last: int, ledger: str | None) -> None:
    """A new segment after all records, and a base of the spare log that tells of all of them."""
    folder = repair.folder
    older, spare = segments(folder / "log"), spare_segments(folder)
    numbers = (int(path.name.partition(".")[0]) for path in (*older, *spare))
    number = max(numbers, default=0) + 1
    for path in (*older, *spare):
        _set_aside(repair, path)
    write_base(folder, number, book, last, ledger)
    path = folder / "log" / f"{number + 1:06d}.jsonl"
    write_atomically(path, seal_line(head(last + 1, ledger)).decode())


def _set_aside(repair: Repair, path: Place) -> None:
    """Move a file or a folder of the run to where what is replaced lies."""
    if not path.exists():
        return
    target = repair.replaced / _below(repair, path)
    if isinstance(path, Remote):
        assert isinstance(target, Remote)
        _copy(path, target)
        return
    assert isinstance(target, Path)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)


def _copy(path: Remote, target: Remote) -> None:
    for child in path.iterdir() if path.is_dir() else ():
        _copy(child, target / child.name)
    if path.is_file():
        target.write_bytes(path.read_bytes())
        path.unlink()


def _below(repair: Repair, path: Place) -> str:
    return str(path).partition("?")[0].removeprefix(f"{str(repair.folder).partition('?')[0]}/")
