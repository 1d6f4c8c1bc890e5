"""The promises of a task, one function each; `trm.testing.tasks` goes through them.

Each raises a UserError whose one line says what was found and how to mend it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from trm.errors import UserError
from trm.tasks import TASKS
from trm.tasks.base import IGNORE, Split, Task, TaskConfig, Tokens
from trm.tasks.cache import SPLITS
from trm.tasks.soundness import (
    require_apart,
    require_arrays,
    require_augmentation,
    require_hash,
    require_rules,
    verdicts,
)
from trm.testing.corruption import corrupted
from trm.testing.sections import check_section

EXAMPLES = 64
"""Examples that are verified, moved and shown."""
_FIELDS = ("inputs", "labels", "difficulty", "puzzle_identifiers")
_SEEDS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Tried:
    """A task that is looked at.

    Attributes:
        config: its section.
        task: built in an empty cache.
        cached: built again with that cache.
        anew: built without any.
    """

    config: TaskConfig
    task: Task
    cached: Task
    anew: Task

    @cached_property
    def parts(self) -> dict[str, Split]:
        """The splits by name, that beyond the trained range too."""
        parts: dict[str, Split] = {name: self.task.split(name) for name in SPLITS}
        if self.task.beyond is not None:
            parts["beyond"] = self.task.beyond
        return parts

    @cached_property
    def few(self) -> Split:
        """The first examples of `valid`."""
        return _first(self.task.split("valid"))


def section(tried: Tried) -> None:
    """Is registered by its name, refuses unknown keys, and survives YAML."""
    try:
        check_section(TASKS, tried.config)
    except AssertionError as error:
        raise UserError(str(error)) from error


def arrays(tried: Tried) -> None:
    """Types, shapes, tokens within the vocabulary, finite difficulties, known identifiers."""
    task = tried.task
    for name, split in tried.parts.items():
        require_arrays(name, task, split)
    for kept in map(task.kept_back, SPLITS):
        if kept is not None:
            require_arrays("kept_back()", task, kept, answered=False)
    for name in SPLITS:
        shape, wanted = task.source_of(name).shape, (len(task.split(name)),)
        _hold(shape == wanted, f"source_of() has the shape {shape}", f"give {wanted}, one each")
    shape, wanted = task.identify(tried.few.inputs).shape, (len(tried.few),)
    _hold(shape == wanted, f"identify() has the shape {shape}", f"give {wanted}, one each")


def determinism(tried: Tried) -> None:
    """The same data again, from the cache and without it, and other data of another seed."""
    _same(tried.task, tried.cached, "read from the cache")
    _same(tried.task, tried.anew, "built anew")
    require_hash("task", tried.task, {name: tried.task.split(name) for name in SPLITS})
    seed = getattr(tried.config, "seed", None)
    if isinstance(seed, int):
        other = tried.config.model_copy(update={"seed": seed + 1}).build()
        _hold(
            other.data_hash != tried.task.data_hash, "another seed gives the same data",
            "draw from the seed, or leave that key out",
        )  # fmt: skip


def leaks(tried: Tried) -> None:
    """No puzzle of one split is one of another's, or a symmetric image of one."""
    require_apart("task", tried.parts, 10**9)
    held = {name: set(_keys(tried.task, split)) for name, split in tried.parts.items()}
    for one, other in combinations(held, 2):
        shared = held[one] & held[other]
        _hold(
            not shared, f"{len(shared)} puzzles of {one} and {other} are symmetry-equivalent",
            "give puzzles with equal symmetry_keys() to one split",
        )  # fmt: skip


def verifier(tried: Tried) -> None:
    """Takes labels, refuses corrupted ones, and judges each example by itself."""
    task, inputs, labels = tried.task, tried.few.inputs, tried.few.labels
    for name, split in tried.parts.items():
        require_rules(name, task, split, EXAMPLES)
    whole = verdicts("valid", task, inputs, labels)
    alone = [bool(verdicts("valid", task, inputs[[k]], labels[[k]])[0]) for k in range(len(inputs))]
    _hold(
        whole.tolist() == alone, "verify() says another thing of an example alone",
        "judge each row by itself",
    )  # fmt: skip
    right = task.right(inputs, labels, labels)
    _hold(
        right.dtype == bool and bool(right.all()), "right() refuses labels",
        "say True for each row whose answer is its label",
    )  # fmt: skip
    for how, wrong, most in corrupted(task, labels):
        accepted = int(verdicts("valid", task, inputs, wrong).sum())
        limit = len(inputs) - 1 if task.many_answers else int(most * len(inputs))
        _hold(
            accepted <= limit, f"verify() accepts {accepted} of {len(inputs)} answers {how}",
            "refuse what breaks the rules"
            + ("" if task.many_answers else ", or set many_answers if a puzzle may have several"),
        )  # fmt: skip
        if task.many_answers:
            judged = int(task.right(inputs, labels, wrong).sum())
            _hold(
                judged == accepted, f"right() takes {judged} answers {how}, verify() {accepted}",
                "leave right() out: with many_answers it asks verify()",
            )  # fmt: skip


def augmentation(tried: Tried) -> None:
    """Keeps puzzles right, as hard as they were and their own, and draws from what it is given."""
    task, train = tried.task, _first(tried.task.split("train"))
    require_augmentation("task", task, train, EXAMPLES)
    moved = [_augmented(task, train, seed) for seed in _SEEDS]
    again = _augmented(task, train, _SEEDS[0])
    _hold(
        all(map(np.array_equal, moved[0], again)), "augment() gives other images of one generator",
        "draw from the generator that it is given, and from nothing else",
    )  # fmt: skip
    changes = any(not np.array_equal(inputs, train.inputs) for inputs, _ in moved)
    _hold(
        changes == task.augments,
        f"augments is {task.augments}, and augment() changes {'puzzles' if changes else 'nothing'}",
        f"set augments = {changes}, or mend augment()",
    )  # fmt: skip
    for inputs, labels in moved:
        _hold(
            task.symmetry_keys(inputs, labels) == _keys(task, train),
            "augment() makes puzzles with other symmetry_keys()",
            "give images of one puzzle one key, or splits may hold images of each other's",
        )  # fmt: skip
        for what, before, after in (
            ("cells that count", train.labels != IGNORE, labels != IGNORE),
            ("unknown() cells", task.unknown(train.inputs), task.unknown(inputs)),
        ):
            _hold(
                np.array_equal(before.sum(axis=1), after.sum(axis=1)),
                f"augment() changes the number of {what}", "move cells, and make none",
            )  # fmt: skip
        measured = task.difficulty_of(inputs, labels)
        _hold(
            measured is None or np.allclose(measured, train.difficulty, rtol=1e-5),
            "augment() makes puzzles of another difficulty, as difficulty_of() has it",
            "change puzzles by symmetries alone",
        )  # fmt: skip


def difficulty(tried: Tried) -> None:
    """What `difficulty_of` measures, where it does, is what the splits say."""
    for name, split in tried.parts.items():
        few = _first(split)
        measured = tried.task.difficulty_of(few.inputs, few.labels)
        _hold(
            measured is None or np.allclose(measured, few.difficulty, rtol=1e-5),
            f"difficulty_of() measures another thing than {name}.difficulty",
            "measure both alike, or leave difficulty_of() out",
        )  # fmt: skip


def unknown(tried: Tried) -> None:
    """A cell that `unknown` leaves out has its answer in the input."""
    for name, split in tried.parts.items():
        stands = ~tried.task.unknown(split.inputs) & (split.labels != IGNORE)
        wrong = int((split.inputs[stands] != split.labels[stands]).sum())
        _hold(
            not wrong, f"unknown() leaves out {wrong} cells of {name} whose answer is not given",
            "say True for each cell whose label may differ from its input",
        )  # fmt: skip


def display(tried: Tried) -> None:
    """Puzzles are shown in a grid, any answer can be, and what is shown is read back."""
    task, few = tried.task, tried.few
    rows, columns = task.grid_shape
    _hold(
        rows * columns == task.seq_len, f"grid_shape {rows}x{columns} has not {task.seq_len} cells",
        "give rows and columns whose product is seq_len",
    )  # fmt: skip
    symbols = len(task.symbols)
    _hold(
        symbols in (0, task.vocab_size), f"{symbols} symbols stand for {task.vocab_size} tokens",
        "give a character for each token, or none",
    )  # fmt: skip
    any_tokens = np.random.default_rng(0).integers(task.vocab_size, size=few.inputs.shape)
    for given, answer in zip(few.inputs, any_tokens.astype(np.int32), strict=True):
        texts = (task.show(given), task.show(given, given), task.show(answer, given))
        _hold(all(type(text) is str for text in texts), "show() gives no text", "give a str")
        if task.reads_what_it_shows:
            _hold(
                _reads(task, texts[0], given),
                f"parse() does not read what show() gives: {_brief(texts[0])}",
                "mend the one or the other, or set reads_what_it_shows = False",
            )  # fmt: skip
    try:
        parsed = task.parse("\0")
    except UserError:
        return
    _hold(
        parsed.shape == (task.seq_len,), f"parse() makes {parsed.shape} of what is no puzzle",
        "raise a UserError that says what a puzzle is",
    )  # fmt: skip


CHECKS: dict[str, Callable[[Tried], None]] = {
    check.__name__: check
    for check in (
        section, arrays, determinism, leaks, verifier, augmentation, difficulty, unknown, display
    )
}  # fmt: skip
"""Every check of a task that could be built; its docstring says what is promised."""


def _hold(holds: bool, found: str, remedy: str) -> None:
    if not holds:
        raise UserError(f"{found}: {remedy}")


def _first(split: Split) -> Split:
    return split.take(slice(EXAMPLES))


def _keys(task: Task, split: Split) -> list[bytes]:
    return task.symmetry_keys(split.inputs, split.labels)


def _augmented(task: Task, split: Split, seed: int) -> tuple[Tokens, Tokens]:
    return task.augment(split.inputs.copy(), split.labels.copy(), np.random.default_rng(seed))


def _same(task: Task, other: Task, how: str) -> None:
    pairs = [(name, task.split(name), other.split(name)) for name in map(str, SPLITS)]  # type: ignore[arg-type]
    _hold(
        (task.beyond is None) == (other.beyond is None), f"beyond is there or not when {how}",
        "let the config alone decide",
    )  # fmt: skip
    if task.beyond is not None and other.beyond is not None:
        pairs.append(("beyond", task.beyond, other.beyond))
    for name, one, same in pairs:
        for field in _FIELDS:
            _hold(
                np.array_equal(getattr(one, field), getattr(same, field)),
                f"{name}.{field} differs when it is {how}",
                "draw from a generator that the config's seed begins",
            )  # fmt: skip
    _hold(task.data_hash == other.data_hash, f"data_hash differs when it is {how}", "leave it out")


def _reads(task: Task, text: str, puzzle: Tokens) -> bool:
    try:
        return np.array_equal(task.parse(text), puzzle)
    except UserError:
        return False


def _brief(text: str) -> str:
    line = " / ".join(text.splitlines())
    return repr(line if len(line) <= 60 else f"{line[:57]}...")
