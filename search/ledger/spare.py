"""Second copies of a run's log: what the Parquet files were made of, to make them again.

Segments that compaction is done with lie in `spare/log/`, packed with gzip, which has a checksum
of its own. With the log as it stands they tell everything from the run's first record on. Of a run
that an older version began, or whose log was damaged, a base stands first: all that was known, in
fewer records.
"""

from __future__ import annotations

import errno
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from search.ledger.book import Book
from search.ledger.files import SPARE, write_atomically
from search.ledger.journal import JournalRecord, head, segments
from search.ledger.log import Damage, Log, Segment, joined, read_segment
from search.ledger.seal import seal_line
from search.ledger.storage import Place
from search.ledger.trial import Row
from trm.files.replace import sync
from trm.report import COLUMNS

_SUFFIX = ".jsonl.gz"
_GZIP = b"\x1f\x8b"


def keep_segments(folder: Place, older: Sequence[Place]) -> None:
    """Copy segments, which their folder no longer needs, to the spare log of a run folder."""
    target = folder / SPARE / "log"
    if isinstance(target, Path):
        target.mkdir(parents=True, exist_ok=True)
    for path in older:
        data = gzip.compress(path.read_bytes(), 4, mtime=0)
        write_atomically(target / f"{path.stem}{_SUFFIX}", data)
    if isinstance(target, Path) and older:
        sync(target)


def write_base(folder: Place, number: int, book: Book, last: int, ledger: str | None) -> None:
    """Store what a run holds as a segment of its spare log, before which none is needed.

    Args:
        number: of the segment.
        book: trials, attempts and curves.
        last: the record up to which this is all.
    """
    records = [record for trial, rows in book.curves() for record in _told(book, trial, rows)]
    first = last - len(records) + 1
    lines = [seal_line(head(first, ledger, base=True))]
    lines += [seal_line({"n": n, **record}) for n, record in enumerate(records, start=first)]
    target = folder / SPARE / "log"
    if isinstance(target, Path):
        target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / f"{number:06d}{_SUFFIX}", gzip.compress(b"".join(lines), 4, mtime=0))


def _told(book: Book, number: int, rows: Sequence[Row]) -> Iterator[JournalRecord]:
    """The records that make a trial what it is, its attempts and its curve."""
    trial, about = book.trials[number], {"t": number}
    start = None if rows else trial.checkpoint
    names = ("stage", "candidate", "seed", "params", "config", *(("asked",) if trial.asked else ()))
    own = {name: getattr(trial, name) for name in names}
    yield {**about, "k": "trial", **own, "checkpoint": start}
    if trial.attempts:
        yield {**about, "k": "attempt", "attempt": trial.attempts, "at": trial.started or ""}
    noted = book.attempts.get(number, ())
    known = sum(attempt.outcome == "preempted" for attempt in noted)
    for _ in range(trial.preempted - known):  # an older version kept their number alone
        yield {**about, "k": "preempted", "attempt": trial.attempts, "reason": ""}
    for attempt in noted:
        if attempt.outcome == "preempted":
            yield {**vars(attempt), **about, "k": "preempted"}
        else:
            yield {**vars(attempt), **about, "k": "retry", "checkpoint": start}
    for index, row in enumerate(rows):
        values = {name: row[name] for name in COLUMNS if row.get(name) is not None}
        record = {**about, "k": "row", "attempt": row["attempt"], "row": values}
        if index == len(rows) - 1:
            names = ("checkpoint", "provenance", "findings")
            record |= {name: getattr(trial, name) for name in names}
        yield record
    if trial.paused:
        yield {**about, "k": "pause"}
    if trial.ended:
        ending = {name: getattr(trial, name) for name in ("outcome", "score", "reason")}
        yield {**about, "k": "end", **ending, "at": trial.finished or ""}


def read_spare_log(folder: Place) -> tuple[Log, list[Damage]]:
    """All that is left of a run's log, from its first record on, and what of it is damaged."""
    found: dict[int, Segment] = {}
    damages: list[Damage] = []
    for path in spare_segments(folder):
        number = int(path.name.partition(".")[0])
        try:
            data = gzip.decompress(path.read_bytes())
            if data[:2] == _GZIP:  # older versions packed it twice on object stores
                data = gzip.decompress(data)
            found[number] = read_segment(path, data)
        except (OSError, EOFError, zlib.error) as error:
            if getattr(error, "errno", None) not in (None, errno.EISDIR):
                raise
            damages.append(Damage(path, "is damaged, not gzip, or its checksum differs"))
    for path in segments(folder / "log"):
        found[int(path.stem)] = read_segment(path)
    log = joined([found[number] for number in sorted(found)])
    return log, [*damages, *log.damages(0)]


def spare_segments(folder: Place) -> list[Place]:
    """The files of the spare log, oldest first."""
    found = (folder / SPARE / "log").glob(f"[0-9]*{_SUFFIX}")
    own = (path for path in found if path.name.removesuffix(_SUFFIX).isdigit())
    return sorted(own, key=lambda path: int(path.name.removesuffix(_SUFFIX)))
