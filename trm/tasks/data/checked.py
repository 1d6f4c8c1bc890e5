"""What `trm tasks check` prints: how files were understood, and everything that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import IGNORE, Progress
from trm.tasks.cache import SPLITS
from trm.tasks.data.arrange import Understood, understand
from trm.tasks.data.complaints import Complaints
from trm.tasks.data.gather import Gathered
from trm.tasks.data.layout import laid_out
from trm.tasks.data.tables import ALIASES
from trm.tasks.data.task import DataConfig, gathered_of, wanted_of

_ALIGNED = {
    "left": "label cell i is for input cell i",
    "right": "the last label cell is for the last input cell",
    "after": "labels have cells of their own, after the inputs'",
}


def check(
    config: DataConfig, examples: int = 3, progress: Progress | None = None
) -> tuple[list[str], list[str], int]:
    """How the files of a config are understood.

    Args:
        examples: to show.

    Returns:
        What was understood, line by line; what is wrong, row by row; and how much that is, as only
        the first 1,000 are in words.

    Raises:
        UserError: a file cannot be read at all.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.csv")
    ...     _ = file.write_text("inputs,labels\\n12,21\\n34,43\\n56,65\\n,6\\n")
    ...     lines, wrong, count = check(DataConfig(file=str(file)))
    >>> lines[3], count
    ('  vocabulary  6 tokens and padding: 123456', 1)
    """
    complaints = Complaints(collect=True)
    lines: list[str] = []
    try:
        gathered = gathered_of(config, complaints, None, progress)
        found = understand(gathered, wanted_of(config, gathered), complaints, progress)
    except UserError as error:
        if not complaints.count:
            raise
        complaints.say(str(error))
    else:
        lines = [*_said(config, gathered, found, examples)]
    return lines, complaints.by_row(), complaints.count


def _said(
    config: DataConfig,
    gathered: Gathered,
    found: Understood,
    examples: int,
) -> Iterator[str]:
    sources, files = gathered.sources, gathered.sources[0].path.name
    reference = sources[0].kind == "reference"
    if reference:
        files = f"{sources[0].path.parent.name}: a folder of the reference"
    elif len(sources) > 1:
        files = f"{sources[0].path.parent.name}: {len(sources):,} files or folders"
    layout, vocabulary = found.layout, found.vocabulary
    yield f"{files}: {len(gathered):,} examples"
    unread = f" (not read: {', '.join(gathered.unread[:20])})" if gathered.unread else ""
    yield f"  columns     {', '.join(_columns(gathered))}{unread}"
    yield f"  cells       {_cells(gathered)}"
    yield f"  vocabulary  {len(vocabulary.names):,} tokens and padding: {vocabulary.shown()}"
    if vocabulary.padding:
        yield f"  padding     {vocabulary.padding!r}"
    if vocabulary.ignore and vocabulary.ignore in gathered.names:
        label = "ignore_label_id" if reference else repr(vocabulary.ignore)
        yield f"  ignored     labels that are {label}"
    lengths = {name: flat.lengths for name, flat in gathered.flat.items()}
    spans = ", ".join(f"{name} {_span(values)}" for name, values in lengths.items())
    rows, columns = layout.grid
    shape = f"{rows} x {columns}" if rows > 1 else f"{layout.length}"
    yield f"  lengths     {spans}; {shape} cells an example"
    inputs, labels = lengths["inputs"], lengths["labels"]
    if layout.align != "left" or (inputs != labels).any():
        yield f"  alignment   {layout.align}: {_ALIGNED[layout.align]}"
    given = [name for k, name in enumerate(SPLITS) if (gathered.split == k).any()]
    if gathered.draws_valid:
        given.remove("valid")
    how = f"{', '.join(given)} given" if given else "none given"
    drawn = "" if len(given) == len(SPLITS) else f", the others drawn with seed {config.seed}"
    if gathered.draws_valid:
        drawn = f", valid drawn of train, a puzzle of a group, with seed {config.seed}"
    sizes = ", ".join(f"{int((found.split == k).sum()):,} {name}" for k, name in enumerate(SPLITS))
    yield f"  splits      {sizes} ({how}{drawn})"
    groups = None if gathered.group is None else len(np.unique(gathered.group))
    if gathered.puzzle is not None:
        puzzles = len(np.unique(gathered.puzzle))
        yield (f"  levels      {puzzles:,} puzzles in {groups:,} groups; a round takes one of each")
    elif groups is not None:
        yield f"  groups      {groups:,}, each in one split"
    if gathered.identifiers:
        yield f"  identifiers {len(gathered.identifiers):,} puzzles with a row of the embedding"
    yield f"  duplicates  {_repeated(found)}"
    low, middle, high = np.quantile(found.difficulty, [0.0, 0.5, 1.0])
    what = {"given": "the column", "length": "length of the input", "changed": "changed cells"}
    yield (
        f"  difficulty  {what[found.measure]}: {low:g} / {middle:g} / {high:g} "
        "(least, median, most)"
    )
    verifier = config.verifier or "an answer is right that equals the label"
    yield f"  verifier    {verifier}"
    yield from _examples(gathered, found, examples)


def _examples(gathered: Gathered, found: Understood, most: int) -> Iterator[str]:
    layout, vocabulary = found.layout, found.vocabulary
    part = next(laid_out(gathered, layout, vocabulary, Complaints(collect=True)))
    shown = np.flatnonzero(part.good)[:most]
    for k in shown:
        index = part.at.start + int(k)
        split = found.split[index]
        where = f"{SPLITS[split]}, " if split >= 0 else ""
        yield ""
        yield f"{where}row {gathered.row[index]}, difficulty {found.difficulty[index]:g}"
        for what, tokens in (("input", part.inputs[k]), ("label", part.labels[k])):
            for line in tokens.reshape(layout.grid).tolist():
                yield f"  {what}  {vocabulary.text(line)}"
                what = "     "
    if (part.labels[shown] == IGNORE).any() or (part.inputs[shown] == 0).any():
        yield ""
        yield f"{vocabulary.pad_sign} is padding, or ignored in a label"


def _columns(gathered: Gathered) -> list[str]:
    columns = {
        "difficulty": gathered.difficulty, "puzzle_identifier": gathered.identifier,
        "group": gathered.group,
    }  # fmt: skip
    return [name for name in ALIASES if name in gathered.flat or columns.get(name) is not None] + (
        ["split"] if (gathered.split >= 0).any() else []
    )


def _cells(gathered: Gathered) -> str:
    if gathered.puzzle is not None:
        return "arrays of tokens, as they are"
    if gathered.separator:
        return f"texts of words with {gathered.separator!r} between them"
    return "texts, each character a token" if gathered.texts else "lists of numbers or words"


def _span(lengths: NDArray[np.int32]) -> str:
    low, high = int(lengths.min()), int(lengths.max())
    if low == high:
        return str(low)
    common = Counter(lengths[:100_000].tolist()).most_common(1)[0][0]
    return f"{low} to {high} (mostly {common})"


def _repeated(found: Understood) -> str:
    if not found.equal:
        return "no input occurs twice"
    several = f", {found.several:,} inputs have several labels" if found.several else ""
    return f"{found.equal:,} rows repeat an input{several}; equal ones are in one split"
