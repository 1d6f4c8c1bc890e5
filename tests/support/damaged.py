"""A run folder as this version writes it, and ways to damage one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from search.config.plan import read_plan, write_plan
from search.ledger.ledger import Ledger
from search.stability.result import read_result
from tests.support.folders import RUNS_V1


def finished_run(folder: Path) -> Path:
    """A finished sweep, with the ledger of this version and a result."""
    shutil.copytree(RUNS_V1 / "finished", folder)
    plan, result = read_plan(folder), read_result(folder)
    assert result is not None
    (folder / "run.json").unlink()
    with Ledger.open(folder) as ledger:
        ledger.compact()
    write_plan(folder, plan)
    result.save(folder)
    return folder


def unfinished_run(folder: Path) -> Path:
    """A sweep whose driver was killed: two trials unfinished, a log that is not compacted."""
    shutil.copytree(RUNS_V1 / "unfinished", folder)
    plan = read_plan(folder)
    (folder / "run.json").unlink()
    ledger = Ledger.open(folder)
    ledger.compact()
    write_plan(folder, plan)
    ledger.add_trial(stage="explore", params={"optimizer.lr": 0.1}, config={"a": 1}, seed=5)
    ledger.begin_attempt(3)
    ledger.preempt(3, 1, "the worker died", node="n1", host="h")
    ledger.begin_attempt(3)
    row = ledger.curve(1)[0]
    for mark in (1, 2):
        assert ledger.acknowledge(3, 2, {**row, "mark": mark}, None, {"torch": "2"})
    ledger._journal.close()
    ledger._lock.release()
    return folder


def files_of(folder: Path) -> list[Path]:
    """What a damage may hit: everything but the lock and what is never read back."""
    skipped = {"lock", "study.log", "best.yaml"}
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in skipped)
    return sorted(path for path in found if "replaced-" not in str(path))


def flip(path: Path, rng: random.Random) -> None:
    """A bit is another."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def scramble(path: Path, rng: random.Random) -> None:
    """Forty bytes in a row are others, as a bad block is."""
    data = bytearray(path.read_bytes())
    begin = rng.randrange(len(data))
    for place in range(begin, min(begin + 40, len(data))):
        data[place] = rng.randrange(256)
    path.write_bytes(data)


def zero(path: Path, rng: random.Random) -> None:
    """The end is zeros, as a power cut leaves it."""
    data = path.read_bytes()
    begin = rng.randrange(len(data))
    path.write_bytes(data[:begin] + bytes(len(data) - begin))


def cut(path: Path, rng: random.Random) -> None:
    """The end is gone."""
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def empty(path: Path, rng: random.Random) -> None:
    """Nothing is left but the name."""
    path.write_bytes(b"")


def remove(path: Path, rng: random.Random) -> None:
    """Not even the name is left."""
    path.unlink()


def into_a_folder(path: Path, rng: random.Random) -> None:
    """A folder has the name."""
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    damage.__name__: damage for damage in (flip, scramble, zero, cut, empty, remove, into_a_folder)
}


def many(count: int) -> Iterator[tuple[int, str, random.Random]]:
    """So many damages, always the same."""
    for number in range(count):
        rng = random.Random(number)
        yield number, rng.choice(sorted(DAMAGES)), rng
