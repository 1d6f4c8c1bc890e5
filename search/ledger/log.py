"""The log as it is read: its sound records, and what is wrong with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from search.ledger.journal import JournalRecord, require_known_version, segments
from search.ledger.seal import DamagedError, open_line
from search.ledger.storage import Place
from trm.report import COLUMNS


@dataclass(frozen=True)
class Damage:
    """Something in a run folder that is not as it was written.

    Attributes:
        path: of the file, which may be missing.
        what: is wrong with it, as `is missing`.
        line: of the file.
    """

    path: Place
    what: str
    line: int | None = None

    def __str__(self) -> str:
        at = "" if self.line is None else f":{self.line}"
        return f"{self.path}{at}: {self.what}"


@dataclass(frozen=True)
class Segment:
    """What is left of a segment.

    Attributes:
        path: its file.
        first: the number of its first record; None if its head was not written.
        ledger: whose it is; None in one of an older version.
        base: whether it tells all that was before it, in fewer records.
        records: those that are sound, in order.
        damages: lines that are none.
    """

    path: Place
    first: int | None
    ledger: str | None
    records: list[JournalRecord]
    damages: list[Damage]
    base: bool = False


@dataclass(frozen=True)
class Log:
    """A log as it was read.

    Attributes:
        segments: oldest first.
        records: every complete record that counts, in order.
    """

    segments: list[Segment]
    records: list[JournalRecord]

    def broken_lines(self) -> list[Damage]:
        """Lines that are damaged."""
        return [damage for segment in self.segments for damage in segment.damages]

    def damages(self, stored: int) -> list[Damage]:
        """Lines that are damaged, and records that are missing.

        Args:
            stored: the last record that the Parquet files contain: none before it need be here.
        """
        found = self.broken_lines()
        expected: int | None = None
        for segment in self.segments:
            if segment.first is None:
                continue
            lacks = segment.first > stored + 1 if expected is None else segment.first > expected
            if lacks and not segment.base and segment.first - 1 > stored:
                begin = stored + 1 if expected is None else max(expected, stored + 1)
                gone = f"begins late: records {begin} to {segment.first - 1} are missing"
                found.append(Damage(segment.path, gone))
            numbers = [record["n"] for record in segment.records]
            whole = list(range(segment.first, segment.first + len(numbers)))
            if numbers != whole and not segment.damages:
                found.append(Damage(segment.path, "is damaged, records in it are missing"))
            expected = max([segment.first - 1, *numbers]) + 1
        return found

    def path_of(self, number: int) -> Place:
        """The segment of a record that is there."""
        return next(s.path for s in self.segments if any(r["n"] == number for r in s.records))


def read_journal(folder: Place) -> Log:
    """Every complete record, in order, also while a driver appends or removes old segments.

    A segment that vanishes was stored elsewhere before it was removed: read the log first and the
    store afterwards, and nothing is missed. A segment's records end where the next one begins:
    what a driver wrote after another had taken its lease over does not count.

    Raises:
        UserError: a newer version of this program wrote the log.
    """
    return joined([read_segment(path) for path in segments(folder)])


def joined(found: Sequence[Segment]) -> Log:
    """Segments, oldest first, as one log."""
    records: list[JournalRecord] = []
    for number, segment in enumerate(found):
        ends = next((s.first for s in found[number + 1 :] if s.first is not None), None)
        records += (r for r in segment.records if ends is None or r["n"] < ends)
    return Log(list(found), records)


def read_segment(path: Place, data: bytes | None = None) -> Segment:
    """What a segment holds; nothing if it is gone.

    Args:
        data: its content, if it has been read.

    Raises:
        UserError: a newer version of this program wrote it.
    """
    top: JournalRecord = {}
    records: list[JournalRecord] = []
    damages: list[Damage] = []
    try:
        lines = (path.read_bytes() if data is None else data).split(b"\n")
    except FileNotFoundError:
        return Segment(path, None, None, [], [])
    except IsADirectoryError:
        return Segment(path, None, None, [], [Damage(path, "is a folder")])
    sealed = False
    # What follows the last line feed was never acknowledged, unless that is what is damaged.
    torn = lines.pop()
    if torn[-2:-1] == b"}" and _is_sealed(torn[:-1]):
        lines.append(torn)
    for number, line in enumerate(lines, start=1):
        try:
            record, has_sum = open_line(line)
            if sealed and not has_sum:
                raise DamagedError("its checksum is gone")
            sealed = sealed or has_sum
            if number == 1:
                top = _head(path, record)
            else:
                _require_record(record, has_sum)
                records.append(record)
        except DamagedError as error:
            damages.append(Damage(path, f"is damaged, {error}", number))
    first, base = top.get("next"), bool(top.get("base"))
    return Segment(path, first, top.get("ledger"), records, damages, base)


def _is_sealed(line: bytes) -> bool:
    try:
        return open_line(line)[1]
    except DamagedError:
        return False


def _head(path: Place, record: Any) -> JournalRecord:
    if not isinstance(record, dict) or type(record.get("schema_version")) is not int:
        raise DamagedError("no head of a log")
    require_known_version(path, record["schema_version"])
    if type(record.get("next")) is not int:
        raise DamagedError("no head of a log")
    return record


FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "trial": {
        "stage": (str,), "candidate": (int,), "seed": (int,), "params": (dict,), "config": (dict,),
    },
    "attempt": {"attempt": (int,), "at": (str,)},
    "row": {"attempt": (int,), "row": (dict,)},
    "pause": {},
    "preempted": {"attempt": (int,), "reason": (str,)},
    "retry": {"attempt": (int,), "outcome": (str,), "reason": (str,)},
    "end": {"outcome": (str,), "score": (int, float, NoneType), "reason": (str,), "at": (str,)},
}  # fmt: skip
"""What a record of each kind has besides its number `n`, its trial `t` and its kind `k`."""
_KINDS = {"int": (int,), "float": (int, float), "bool": (bool,)}


def _require_record(record: Any, sealed: bool) -> None:
    if not isinstance(record, dict):
        raise DamagedError("no record")
    fields = FIELDS.get(record["k"]) if isinstance(record.get("k"), str) else None
    if fields is None:
        raise DamagedError("a record of no known kind")
    if sealed:
        return  # it is what was written
    values = {"n": (int,), "t": (int,), **fields}
    wrong = [name for name, types in values.items() if type(record.get(name)) not in types]
    row = {"mark": None, **record["row"]} if record["k"] == "row" and not wrong else {}
    wrong += [
        name
        for name, value in row.items()
        if name in COLUMNS and type(value) not in _KINDS[COLUMNS[name].kind]
    ]
    if wrong:
        raise DamagedError(f"a record without a sound `{wrong[0]}`")
