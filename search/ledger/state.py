"""What a run's log and Parquet files say together, and whether they belong together."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from search.ledger.attempts import FOLDER as ATTEMPTS
from search.ledger.attempts import Attempt, read_attempts_part
from search.ledger.book import apply, note_attempt, row_of
from search.ledger.files import RUN_FILE, DamagedFileError, ledger_of, mend_run
from search.ledger.journal import SCHEMA_VERSION
from search.ledger.log import Damage, Log, read_journal
from search.ledger.parquet import BLOCK, Footer, footer_of, part, parts, read_trial_part
from search.ledger.spare import spare_segments
from search.ledger.storage import Place
from search.ledger.strays import warn_of_strays
from search.ledger.trial import Row, Trial
from trm.errors import UserError

_TRIES, _PAUSE = 3, 0.1
"""A driver that compacts while its files are read makes them look as if one were missing."""
_NONE = Footer()


class LedgerState:
    """What log and Parquet files say together.

    The log is read first: what compaction removes from it meanwhile is in the files by then.

    Args:
        whole: whether to make sure of every byte of the curves, which are not read here.
        lenient: whether to take in what is sound and leave the rest.

    Attributes:
        folder: the run's.
        trials: by id.
        attempts: by trial, those that did not end it.
        tail: rows of curves that the files lack, by trial.
        dirty: blocks of trials that the log, or a newer version, changes.
        records: how many the log has.
        sequence: of the last record.
        tells_all: whether log and spare log begin with the run's first record.
        curves_at: the last record that each file of curves contains, by block.
        ledger: whose the files are; None if an older version began them.
        damages: what is wrong, where it was to be lenient.

    Raises:
        UserError: a file is damaged, missing or another run's, or a newer version wrote it.
    """

    def __init__(self, folder: Place, *, whole: bool = False, lenient: bool = False) -> None:
        self.folder = folder
        if isinstance(folder, Path):
            warn_of_strays(folder)
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE)
            self._read(whole)
            if not self.damages:
                return
        if not lenient:
            raise UserError(f"{self.damages[0]}: {mend_run(folder)}")

    def _read(self, whole: bool) -> None:
        self.trials: dict[int, Trial] = {}
        self.attempts: dict[int, list[Attempt]] = {}
        self.tail: dict[int, list[Row]] = defaultdict(list)
        self.dirty: set[int] = set()
        self.damages: list[Damage] = []
        log = read_journal(self.folder / "log")
        self.records = len(log.records)
        known, curves = self._read_trials(), self._read_footers("curves", whole)
        lost = self._read_attempts()
        footers = (*known.values(), *curves.values(), *lost.values())
        stored = max((footer.sequence for footer in footers), default=0)
        self.sequence = max([stored, *(record["n"] for record in log.records)])
        # A file that cannot be read does not say up to where the log is stored.
        self.damages += log.broken_lines() if self.damages else log.damages(stored)
        if stored and not log.segments:
            self.damages.append(Damage(self.folder / "log", "is empty"))
        self._require_parts(log, known, {"curves": curves, ATTEMPTS: lost})
        firsts = [segment.first for segment in log.segments if segment.first is not None]
        self.tells_all = firsts[:1] == [1] or bool(spare_segments(self.folder))
        self.curves_at = {block: footer.sequence for block, footer in curves.items()}
        self._apply(log, known, curves, lost)
        self._require_trials(curves)
        self.ledger = self._require_one_ledger(
            log, {"trials": known, "curves": curves, ATTEMPTS: lost}
        )

    def _read_trials(self) -> dict[int, Footer]:
        found: dict[int, Footer] = {}
        for block, path in parts(self.folder / "trials").items():
            with self._noting():
                trials, found[block] = read_trial_part(path)
                self.trials.update((trial.id, trial) for trial in trials)
                if found[block].version < SCHEMA_VERSION:
                    self.dirty.add(block)  # the next compaction writes it anew
        return found

    def _read_footers(self, name: str, whole: bool) -> dict[int, Footer]:
        found: dict[int, Footer] = {}
        for block, path in parts(self.folder / name).items():
            with self._noting():
                found[block] = footer_of(path, whole=whole)
        return found

    def _read_attempts(self) -> dict[int, Footer]:
        found: dict[int, Footer] = {}
        for block, path in parts(self.folder / ATTEMPTS).items():
            with self._noting():
                attempts, found[block] = read_attempts_part(path)
                for attempt in attempts:
                    self.attempts.setdefault(attempt.trial, []).append(attempt)
        return found

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except DamagedFileError as error:
            self.damages.append(Damage(error.path, error.what))

    def _require_parts(
        self, log: Log, known: Mapping[int, Footer], others: Mapping[str, Mapping[int, Footer]]
    ) -> None:
        """Note files that are missing or stale, though no byte of what is there is wrong."""
        for name in ("trials", "curves"):
            folder = self.folder / name
            if isinstance(folder, Path) and not folder.is_dir():
                self.damages.append(Damage(folder, "is missing"))
            elif name == "trials" and not parts(folder):
                self.damages.append(Damage(part(folder, 0), "is missing"))
        if self.damages:
            return
        recorded = {record["n"] for record in log.records}
        for block, footer in known.items():
            own = (self.trials.get(n) for n in range(block * BLOCK, (block + 1) * BLOCK))
            ran = any(trial is not None and trial.mark > 0 for trial in own)
            for name, least in (("curves", footer.curves), (ATTEMPTS, footer.attempts)):
                found = others[name]
                at = found.get(block, _NONE).sequence
                missing = range(footer.sequence + 1, at + 1)
                path = part(self.folder / name, block)
                if block not in found and (least or (ran and name == "curves")):
                    self.damages.append(Damage(path, "is missing"))
                elif least > at:
                    self.damages.append(Damage(path, "is an older copy"))
                elif len(missing) > len(recorded) or not recorded.issuperset(missing):
                    stale = part(self.folder / "trials", block)
                    self.damages.append(Damage(stale, "is an older copy"))

    def _apply(
        self,
        log: Log,
        known: Mapping[int, Footer],
        curves: Mapping[int, Footer],
        lost: Mapping[int, Footer],
    ) -> None:
        for record in log.records:
            number, block = record["t"], record["t"] // BLOCK
            if record["n"] > known.get(block, _NONE).sequence:
                if number not in self.trials and record["k"] != "trial":
                    if not self.damages:
                        what = f"has records of trial {number}, but none of its beginning"
                        self.damages.append(Damage(log.path_of(record["n"]), what))
                    continue
                apply(self.trials, record)
                self.dirty.add(block)
            row = row_of(record)
            if row is not None and record["n"] > curves.get(block, _NONE).sequence:
                self.tail[number].append(row)
                self.dirty.add(block)
            if record["n"] > lost.get(block, _NONE).sequence:
                note_attempt(self.attempts, record)

    def _require_trials(self, curves: Mapping[int, Footer]) -> None:
        """Note trials that must have been there."""
        if self.damages:
            return
        firsts = [block * BLOCK for block, footer in curves.items() if footer.rows]
        gone = [number for number in firsts if number not in self.trials]
        gone += [n for n, known in enumerate(sorted(self.trials)) if n != known][:1]
        self.damages += [
            Damage(part(self.folder / "trials", number // BLOCK), "is missing")
            for number in gone[:1]
        ]

    def _require_one_ledger(
        self, log: Log, files: Mapping[str, Mapping[int, Footer]]
    ) -> str | None:
        """Whose the files are; what is another's is noted."""
        owners = [(segment.path, segment.ledger) for segment in log.segments]
        for name, footers in files.items():
            folder = self.folder / name
            owners += [(part(folder, block), footer.ledger) for block, footer in footers.items()]
        head = ledger_of(self.folder)
        owners.append((self.folder / RUN_FILE, head))
        counts = Counter(ledger for _, ledger in owners if ledger)
        if not counts:
            return None
        most = max(counts, key=lambda ledger: (counts[ledger], ledger == head))
        self.damages += [
            Damage(path, "is another run's")
            for path, ledger in owners
            if ledger not in (None, most)
        ]
        return most
