"""Puzzle files: every layout that is read, and the line that every mistake is reported with."""

from __future__ import annotations

import gzip
import io
import itertools
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pyarrow import compress

from trm.errors import UserError
from trm.tasks.sudoku import files
from trm.tasks.sudoku.files import read_puzzles, solve_file
from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.rules import Boards, Box

BOXES = [Box(2, 2), Box(2, 3), Box(3, 2), Box(2, 4), Box(3, 3)]


def sample(box: Box, count: int = 4) -> tuple[Boards, Boards]:
    rng = np.random.default_rng(0)
    solved = grids(count, box, rng)
    return dig(solved, np.full(count, box.cells // 2), box, rng), solved


def text(cells: Boards, blank: str = "0") -> str:
    return "".join(map(str, cells)).replace("0", blank)


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "puzzles.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def zipped(files: dict[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these files, and of what systems leave beside them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.mkdir("data")
        archive.writestr("__MACOSX/a.csv", "\x00")
        archive.writestr("data/.DS_Store", "\x00")
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


PUZZLES, SOLVED = sample(Box(2, 2))
LINES = [text(p) for p in PUZZLES]
ANSWERS = [text(s) for s in SOLVED]
ZSTD = compress(LINES[0].encode() * 99, "zstd", asbytes=True)


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("separator", [None, ",", ";", " ", "\t", " , "])
def test_lines_of_every_box(tmp_path: Path, box: Box, separator: str | None) -> None:
    puzzles, solved = sample(box)
    lines = [
        text(p, ".") if separator is None else text(p) + separator + text(s)
        for p, s in zip(puzzles, solved, strict=True)
    ]
    file = read_puzzles(written(tmp_path, ["# two kinds of noise", "", *lines, ""]), box)
    assert (file.puzzles == puzzles).all()
    assert (file.solutions == (0 if separator is None else solved)).all()
    assert file.lines.tolist() == [3, 4, 5, 6]
    assert (solve_file(file, box).solution == solved).all()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_sudoku_extreme_csv(tmp_path: Path, packed: bool, newline: str) -> None:
    puzzles, solved = sample(Box(3, 3))
    rows = ["source,question,answer,rating"]
    rows += [
        f"puzzles0_kaggle,{text(p, '.')},{text(s)},7" for p, s in zip(puzzles, solved, strict=True)
    ]
    rows[2] = rows[2].replace("puzzles0_kaggle", '"forum, hard"')
    data = newline.join(rows).encode()
    path = tmp_path / "train.csv"  # gzip is known by content, whatever the name
    path.write_bytes(gzip.compress(data) if packed else data)
    file = read_puzzles(path, Box(3, 3))
    assert (file.puzzles == puzzles).all()
    assert (file.solutions == solved).all()
    assert file.lines.tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zip"])
def test_packed_files_whatever_their_name(tmp_path: Path, kind: str) -> None:
    content = "\r\n".join(
        ["\ufeffpuzzle,solution", *map(",".join, zip(LINES, ANSWERS, strict=True))]
    )
    path = tmp_path / "puzzles.txt"
    path.write_bytes({
        "gzip": gzip.compress(content.encode()),
        "zstd": compress(content.encode(), "zstd", asbytes=True),
        "zip": zipped({"data/sudoku.csv": content}),
    }[kind])  # fmt: skip
    file = read_puzzles(path, Box(2, 2))
    assert (file.puzzles == PUZZLES).all()
    assert (file.solutions == SOLVED).all()


def test_a_locked_archive_is_one_line(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.csv": LINES[0]}))
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of its member: encrypted
        data[data.rindex(sign) + flags] |= 1
    path = tmp_path / "puzzles.zip"
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"puzzles.zip: cannot be read: .* is encrypted"):
        read_puzzles(path, Box(2, 2))


@pytest.mark.parametrize("header", ["quizzes,solutions", "puzzle,solution", "question,answer"])
def test_csv_headers_and_empty_answers(tmp_path: Path, header: str) -> None:
    lines = [f"\ufeff{header}", f"{LINES[0]},{ANSWERS[0]}", f"{LINES[1]},"]
    file = read_puzzles(written(tmp_path, lines), Box(2, 2))
    assert (file.solutions[0] == SOLVED[0]).all()
    assert not file.solutions[1].any()


def test_long_files_are_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BATCH", 3)
    seen: list[float] = []
    path = written(tmp_path, LINES * 2)
    file = read_puzzles(path, Box(2, 2), progress=lambda _, share: seen.append(share))
    assert (file.puzzles == np.concatenate([PUZZLES, PUZZLES])).all()
    assert file.lines.tolist() == list(range(1, 9))
    assert len(seen) == 2
    bad = written(tmp_path, [*LINES, "12"])
    with pytest.raises(UserError, match="line 5"):
        read_puzzles(bad, Box(2, 2))


SPOILT = ANSWERS[1][::-1] if ANSWERS[1][::-1] != ANSWERS[1] else ANSWERS[0]


@pytest.mark.parametrize(
    ("lines", "number", "words"),
    [
        ([LINES[0], LINES[1][:-1]], 2, ["has 15 cells", "[2, 2] needs 16"]),
        ([LINES[0], "", "0" * 81], 3, ["has 81 cells", "[3, 3]"]),
        ([LINES[0], "5" + LINES[1][1:]], 2, ["the character '5'", "1 to 4"]),
        ([LINES[0], "z" + LINES[1][1:]], 2, ["the character 'z'"]),
        ([LINES[0], "٣" + LINES[1][1:]], 2, ["the character '٣'"]),
        ([f"{LINES[0]},{ANSWERS[0][:-2]}"], 1, ["the solution has 14 cells"]),
        ([LINES[0], f"{LINES[1]} {SPOILT}"], 2, ["not a solution of its puzzle"]),
        ([f"{LINES[0]},{LINES[0]}"], 1, ["not a solution of its puzzle"]),
        (["question,answer", f"{LINES[0]}"], 2, ["1 columns", "promises 2"]),
        (["source,question,answer,rating", f"a,{LINES[0]},{SPOILT},1"], 2, ["not a solution"]),
        ([LINES[0], LINES[1], "11" + "0" * 14], 3, ["no solution"]),
        ([LINES[0], "1234" + "3400" + "0" * 8], 2, ["several solutions"]),
        ([LINES[0], "0" * 16], 2, ["several solutions"]),
        (
            [f"{LINES[0]}", "1234" + "3412" + "0" * 8 + ",1234341221434321"],
            2,
            ["several solutions"],
        ),
    ],
)
def test_mistakes_name_file_and_line(
    tmp_path: Path, lines: list[str], number: int, words: list[str]
) -> None:
    path = written(tmp_path, lines)
    with pytest.raises(UserError) as caught:
        solve_file(read_puzzles(path, Box(2, 2)), Box(2, 2))
    message = str(caught.value)
    assert message.startswith(f"{path}, line {number}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "holds no puzzle"),
        (b"\n\n# nothing\n", "holds no puzzle"),
        (b"source,question,answer,rating\n", "holds no puzzle"),
        (b"\xff\xfe\x00\x81\x00", "not a text file"),
        (b"\x89PNG\r\n\x1a\n", "not a text file"),
        (b"PK\x03\x04\x14\x00\x08\x08", "cannot be read: File is not a zip file"),
        (zipped({}), "the archive holds no file"),
        (zipped({"b.csv": LINES[0], "a.csv": LINES[1]}), "holds 2 files (a.csv, b.csv); unpack it"),
        (zipped({"a.csv": LINES[0]}, zipfile.ZIP_LZMA), "is packed in an unusual way"),
        (zipped({"a.csv": LINES[0] * 99})[:90], "cannot be read: File is not a zip file"),
        (compress(LINES[0].encode() * 99, "zstd", asbytes=True)[:-5], "cannot be read: Truncated"),
        (
            compress(LINES[0].encode() * 99, "zstd", asbytes=True)[:6] + b"garbage" * 9,
            "cannot be read",
        ),
        (b"1" * 1_000_001, "a line has more than 1,000,000 characters"),
        (b'quizzes\n"' + b"1" * 200_000 + b'"\n', "field larger than field limit"),
        (gzip.compress(LINES[0].encode() * 99, mtime=0)[:-12], "cannot be read"),
        (gzip.compress(b"x" * 99, mtime=0)[:12] + b"garbage" * 9, "cannot be read"),
    ],
    # A zip file holds the time: as part of a name it would differ between processes.
    ids=itertools.count(),
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "puzzles.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_puzzles(path, Box(2, 2))
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_puzzles(tmp_path, Box(2, 2))
