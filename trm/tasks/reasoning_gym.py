"""Generators and verifiers of the package `reasoning-gym`, as a task of characters.

https://github.com/open-thought/reasoning-gym. A question stands in the first cells, one character
each; the cells behind it are for the answer. Families whose questions or answers are too long for
the cells that are asked for are refused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curricula.limits import MOST_EXAMPLES, MOST_SEED
from trm.errors import UserError
from trm.tasks.base import IGNORE, Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import SPLITS, cached_splits, make_split
from trm.tasks.held import HeldTask

PAD, ASKED, END = 0, 1, 2
"""Tokens before those of characters: nothing, a cell for the answer, and what follows an answer."""
_WORDS = ("<pad>", "<answer>", "<end>")
_CHARACTERS = "\n" + "".join(map(chr, (*range(32, 127), *range(161, 256))))
"""Other characters are not known: every family has the same tokens."""
_FORMAT = 1
_BARREN = 50
"""Questions drawn for each that is wanted, before a family counts as too small."""


class ReasoningGymConfig(TaskConfig):
    """A family of `reasoning-gym`: its questions as text, its answers by its own verifier.

    Attributes:
        family: its name there, as chain_sum.
        settings: of its generator, by the names that it has there.
        question_length: cells of a question, at most.
        answer_length: cells of an answer, at most.
        many_answers: whether training counts every answer that the verifier takes; if not, the
            generator's own alone.
        train_examples: examples of the split that is trained on.
        valid_examples: examples of the split that searches read.
        test_examples: examples of the split that is evaluated once.
        seed: draws the questions.
    """

    judged_by = "the package's verifier"
    name: Literal["reasoning_gym"] = "reasoning_gym"
    family: str = Field(min_length=1, max_length=100)
    settings: dict[str, Any] = Field(default_factory=dict)
    question_length: int = Field(default=256, ge=1, le=10_000)
    answer_length: int = Field(default=32, ge=1, le=10_000)
    many_answers: bool = False
    train_examples: int = Field(default=5_000, ge=1, le=MOST_EXAMPLES)
    valid_examples: int = Field(default=500, ge=1, le=MOST_EXAMPLES)
    test_examples: int = Field(default=500, ge=1, le=MOST_EXAMPLES)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Draw the questions, or read them from `cache`.

        Raises:
            UserError: the package is not installed or has no such family or settings, or questions
                or answers do not fit.
        """
        family = _Family(self)
        key = {
            "format": _FORMAT,
            "version": family.version,
            **self.model_dump(mode="json", exclude={"many_answers"}),
        }
        splits = cached_splits(cache, self.name, key, lambda: family.drawn(progress))
        return ReasoningGymTask(self, family, splits)


class _Family:
    """A family's generator and verifier."""

    def __init__(self, config: ReasoningGymConfig) -> None:
        try:
            gym = import_module("reasoning_gym")
            # The installed package, and not this module, which has its name.
            make, self.version = gym.create_dataset, str(getattr(gym, "__version__", ""))
        except ImportError as error:
            remedy = "needs the package: pip install 'trm-search[reasoning]'"
            raise UserError("task.family", config.family, remedy) from error
        self.config = config
        wanted = config.train_examples + config.valid_examples + config.test_examples
        try:
            self.entries = make(
                config.family, seed=config.seed, size=wanted * _BARREN, **config.settings
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            key = "task.settings" if config.settings else "task.family"
            raise UserError(key, config.settings or config.family, reason) from error

    def drawn(self, progress: Progress | None) -> dict[SplitName, Split]:
        """Every split, no question twice. Difficulty is the length of the answer."""
        sizes: dict[SplitName, int] = {
            name: getattr(self.config, f"{name}_examples") for name in SPLITS
        }
        wanted = sum(sizes.values())
        seen: dict[str, int] = {}
        inputs, labels, lengths = [], [], []
        for index in range(wanted * _BARREN):
            entry = self._entry(index)
            if entry["question"] in seen:
                continue
            seen[entry["question"]] = index
            inputs.append(self.asked(entry["question"], index))
            labels.append(self.answered(entry["answer"], index))
            lengths.append(len(entry["answer"]))
            if progress is not None:
                progress("drawing questions", len(seen) / wanted)
            if len(seen) == wanted:
                break
        else:
            raise UserError(
                "task.family", self.config.family,
                f"gives {len(seen)} different questions of the {wanted} asked: ask for fewer, or "
                "for larger ones by task.settings",
            )  # fmt: skip
        splits: dict[SplitName, Split] = {}
        begin = 0
        for name, size in sizes.items():
            part = slice(begin, begin + size)
            splits[name] = make_split(
                np.stack(inputs[part]), np.stack(labels[part]), np.array(lengths[part])
            )
            begin += size
        return splits

    def _entry(self, index: int) -> dict[str, Any]:
        with _nobody_elses_randomness(self.config.seed + index):
            entry: dict[str, Any] = self.entries[index]
        if entry["answer"] is None or not str(entry["answer"]):
            raise UserError(
                "task.family", self.config.family, "gives no answers to learn from: take another"
            )
        return {**entry, "answer": str(entry["answer"])}

    def asked(self, question: str, index: int | None = None) -> Tokens:
        """A question and the cells for its answer, as tokens.

        Raises:
            UserError: it is too long, or holds a character that is not known.
        """
        config, which = self.config, "" if index is None else f"question {index} of "
        if len(question) > config.question_length:
            raise UserError(
                "task.question_length", config.question_length,
                f"{which}{config.family} has {len(question)} characters: raise it",
            )  # fmt: skip
        tokens = np.full(config.question_length + config.answer_length, PAD, dtype=np.int32)
        tokens[: len(question)] = _tokens(question, f"{which}{config.family}")
        tokens[config.question_length :] = ASKED
        return tokens

    def answered(self, answer: str, index: int) -> Tokens:
        """The label of an answer: its characters, then `<end>` to the last cell."""
        config = self.config
        if len(answer) > config.answer_length:
            raise UserError(
                "task.answer_length", config.answer_length,
                f"the answer of question {index} of {config.family} has {len(answer)} characters: "
                "raise it",
            )  # fmt: skip
        tokens = np.full(config.question_length + config.answer_length, IGNORE, dtype=np.int32)
        tokens[config.question_length :] = END
        begin = config.question_length
        tokens[begin : begin + len(answer)] = _tokens(answer, f"answer {index} of {config.family}")
        return tokens

    def entry_of(self, question: str) -> dict[str, Any] | None:
        """The entry of a question that was drawn, by which an answer can be judged."""
        if not hasattr(self, "_index"):
            self._index: dict[str, int] = {}
            self._looked = 0
        while question not in self._index and self._looked < len(self.entries):
            with _nobody_elses_randomness(self.config.seed + self._looked):
                asked = self.entries[self._looked]["question"]
            self._index.setdefault(asked, self._looked)
            self._looked += 1
        index = self._index.get(question)
        return None if index is None else self._entry(index)

    def takes(self, question: str, answer: str) -> bool:
        """What the verifier says; false for a question that was not drawn."""
        entry = self.entry_of(question)
        if entry is None:
            return False
        with _nobody_elses_randomness(0):
            return bool(self.entries.score_answer(answer, entry) >= 1.0)


@contextmanager
def _nobody_elses_randomness(seed: int) -> Iterator[None]:
    """Some families draw from Python's own generator: from one of theirs, and nobody sees it."""
    before, before_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)  # noqa: NPY002


def _tokens(text: str, what: str) -> Tokens:
    found = np.array([_CHARACTERS.find(sign) for sign in text], dtype=np.int32)
    if len(found) and found.min() < 0:
        sign = text[int(found.argmin())]
        raise UserError("task.family", what, f"holds {sign!r}; only Latin-1 is known")
    return found + len(_WORDS)


def _text(tokens: Tokens) -> str:
    """The characters up to the first token that is none."""
    signs = []
    for token in tokens:
        if token < len(_WORDS):
            break
        signs.append(_CHARACTERS[int(token) - len(_WORDS)])
    return "".join(signs)


class ReasoningGymTask(HeldTask):
    """Questions of one family. Tokens: nothing, a cell for the answer, the end, then characters."""

    name = "reasoning_gym"
    tokens = (*_WORDS, *_CHARACTERS)
    vocab_size = len(tokens)
    vocabulary = "latin-1"

    def __init__(
        self, config: ReasoningGymConfig, family: _Family, splits: dict[SplitName, Split]
    ) -> None:
        super().__init__(splits)
        self.config = config
        self.many_answers = config.many_answers
        self.seq_len = config.question_length + config.answer_length
        self.grid_shape = (1, self.seq_len)
        self._family = family

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """By the family's own verifier, for questions that were drawn; others are never right."""
        begin = self.config.question_length
        right = [
            self._family.takes(_text(question), _text(answer))
            for question, answer in zip(inputs[:, :begin], answers[:, begin:], strict=True)
        ]
        return np.array(right, dtype=np.bool_)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((labels >= len(_WORDS)).sum(axis=1), dtype=np.float32)

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        return np.asarray(inputs == ASKED)

    def parse(self, text: str) -> Tokens:
        return self._family.asked(text.strip("\n"))

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        """The question of a puzzle; the answer of an answer, where the puzzle is given."""
        begin = self.config.question_length
        return _text(tokens[:begin]) if given is None else _text(tokens[begin:])
