"""The mixture of tasks: shared tokens and cells, splits, sources, and its config's errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.support.mixtures import LARGE, SECTIONS, SMALL, SUDOKU, config
from trm.config import experiment_from
from trm.errors import UserError
from trm.evaluation import Thinking, score, subset
from trm.report import MACHINE_COLUMNS
from trm.tasks.base import IGNORE, Split, SplitName, Task
from trm.tasks.cache import SPLITS
from trm.tasks.mixture import MixtureTask
from trm.training.data import ExampleStream
from trm.training.trainer import Trainer

Pair = tuple[MixtureTask, dict[str, Task]]


@pytest.fixture(scope="module")
def mixtures(cache: Path) -> dict[str, Pair]:
    """Each mixture and its tasks built alone."""
    made = {}
    for name, sections in SECTIONS.items():
        whole = config(sections)
        alone = {key: task.build(cache) for key, task in whole.tasks.items()}
        made[name] = (cast(MixtureTask, whole.build(cache)), alone)
    return made


@pytest.fixture(params=SECTIONS)
def pair(request: pytest.FixtureRequest, mixtures: dict[str, Pair]) -> Pair:
    return mixtures[request.param]


def rows_of(task: Task, name: SplitName, source: str) -> Split:
    """The examples of one source."""
    split, here = task.split(name), task.source_of(name) == task.sources.index(source)
    return Split(
        split.inputs[here], split.labels[here], split.difficulty[here],
        split.puzzle_identifiers[here],
    )  # fmt: skip


def columns(alone: Task, whole: Task) -> np.ndarray[Any, Any]:
    """Where a task's cells stand: the top left corner."""
    rows, cols = alone.grid_shape
    return np.array([r * whole.grid_shape[1] + c for r in range(rows) for c in range(cols)])


# --- examples -----------------------------------------------------------------------------------


def test_every_split_is_that_of_all_tasks_padded(pair: Pair) -> None:
    whole, alone = pair
    assert whole.seq_len == max(task.seq_len for task in alone.values())
    assert whole.grid_shape[0] * whole.grid_shape[1] == whole.seq_len
    for name in SPLITS:
        split = whole.split(name)
        assert split.inputs.shape == split.labels.shape == (len(split), whole.seq_len)
        assert (
            split.inputs.dtype == split.labels.dtype == split.puzzle_identifiers.dtype == np.int32
        )
        assert split.difficulty.dtype == np.float32
        assert whole.source_of(name).dtype == np.int32
        assert split.inputs.min() >= 0
        assert split.inputs.max() < whole.vocab_size
        assert split.labels.max() < whole.vocab_size
        for index, (source, task) in enumerate(alone.items()):
            mine, cells = rows_of(whole, name, source), columns(task, whole)
            assert (mine.puzzle_identifiers == index).all()
            beyond = np.delete(np.arange(whole.seq_len), cells)
            assert (mine.inputs[:, beyond] == 0).all()
            assert (mine.labels[:, beyond] == IGNORE).all()
            shift = mine.inputs[:, cells] - mine.labels[:, cells]
            own = task.split(name)
            if len(mine) == len(own):  # nothing was held out by a twin
                assert np.array_equal(shift, own.inputs - own.labels)
                assert np.array_equal(mine.difficulty, own.difficulty)
    assert whole.num_puzzle_identifiers == len(alone)


@pytest.mark.parametrize(
    ("name", "vocab_size", "ranges"),
    [
        ("sizes", 9, {"small": (1, 8), "large": (1, 8)}),
        ("kinds", 14, {"arrows": (1, 8), "sudoku": (9, 13)}),
        ("three", 21, {"sudoku": (1, 5), "small": (6, 13), "wide": (14, 20)}),
        ("twins", 9, {"one": (1, 8), "two": (1, 8)}),
    ],
)
def test_only_tasks_of_a_kind_share_tokens(
    name: str, vocab_size: int, ranges: dict[str, tuple[int, int]], mixtures: dict[str, Pair]
) -> None:
    whole, alone = mixtures[name]
    assert whole.vocab_size == vocab_size
    for source, task in alone.items():
        mine, cells = rows_of(whole, "train", source), columns(task, whole)
        tokens = np.concatenate([mine.inputs[:, cells], mine.labels[:, cells]])
        assert (tokens.min(), tokens.max()) == ranges[source]


def test_any_number_of_first_examples_holds_every_source_in_proportion(pair: Pair) -> None:
    whole, alone = pair
    for name in SPLITS:
        source = whole.source_of(name)
        share = np.bincount(source, minlength=len(alone)) / len(source)
        for count in range(1, len(source)):
            have = np.bincount(source[:count], minlength=len(alone))
            assert np.abs(have - share * count).max() <= len(alone) / 2


def test_the_data_hash_knows_tasks_names_and_order(cache: Path) -> None:
    hashes = [
        config(tasks).build(cache).data_hash
        for tasks in (
            {"a": SMALL, "b": LARGE},
            {"a": SMALL, "b": LARGE},
            {"b": LARGE, "a": SMALL},
            {"a": SMALL, "c": LARGE},
            {"a": SMALL, "b": {**LARGE, "seed": 1}},
        )
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_the_tree_holds_the_tasks_whole() -> None:
    whole = config(SECTIONS["kinds"])
    tree = whole.model_dump(mode="json")
    assert tree["tasks"]["sudoku"]["box"] == [2, 2]
    assert tree["tasks"]["arrows"]["seed"] == 0
    assert config(tree["tasks"]) == whole


# --- rules --------------------------------------------------------------------------------------


def test_rules_and_display_are_those_of_the_task_alone(pair: Pair) -> None:
    whole, alone = pair
    for source, task in alone.items():
        mine, cells = rows_of(whole, "valid", source), columns(task, whole)
        base = int(mine.inputs[:, cells].min()) - 1
        inputs, labels = mine.inputs[:, cells] - base, mine.labels[:, cells] - base
        assert task.verify(inputs, labels).all()
        wrong = mine.labels.copy()
        wrong[::2, cells[0]] = (inputs[::2, 0] % 4) + 1 + base
        expected = task.verify(inputs, wrong[:, cells] - base)
        assert np.array_equal(whole.verify(mine.inputs, wrong), expected)
        assert not expected[::2].all()
        noise = np.random.default_rng(0).integers(whole.vocab_size, size=mine.labels.shape)
        beyond = np.delete(np.arange(whole.seq_len), cells)
        noisy = mine.labels.copy()
        noisy[:, beyond] = noise[:, beyond]
        assert whole.verify(mine.inputs, noisy).all()
        unknown = whole.unknown(mine.inputs)
        assert np.array_equal(unknown[:, cells], task.unknown(inputs))
        assert not unknown[:, beyond].any()
        assert whole.show(mine.inputs[0]) == task.show(inputs[0])
        assert whole.show(noisy[0], mine.inputs[0]) == task.show(labels[0], inputs[0])
        assert whole.show(mine.labels[0], mine.inputs[0]) == task.show(labels[0], inputs[0])


def test_an_answer_in_another_tasks_tokens_is_none(mixtures: dict[str, Pair]) -> None:
    whole, _ = mixtures["kinds"]
    for source, other in (("arrows", 9), ("sudoku", -8)):
        mine = rows_of(whole, "valid", source)
        shifted = np.where(mine.labels > 0, mine.labels + other, mine.labels)
        assert not whole.verify(mine.inputs, shifted).any()
        whole.show(shifted[0], mine.inputs[0])


def test_augmentation_is_that_of_the_task_alone(cache: Path) -> None:
    whole = config({"plain": SMALL, "turned": {**LARGE, "augment": True}, "sudoku": SUDOKU})
    task = whole.build(cache)
    split = task.split("train")
    inputs, labels = task.augment(split.inputs, split.labels, np.random.default_rng(3))
    assert np.array_equal(inputs > 0, split.inputs > 0)
    assert np.array_equal(labels == IGNORE, split.labels == IGNORE)
    assert task.verify(inputs, labels).all()
    assert task.symmetry_keys(inputs, labels) == task.symmetry_keys(split.inputs, split.labels)
    changed = (inputs != split.inputs).any(axis=1)
    source = task.source_of("train")
    assert not changed[source == 0].any()
    assert changed[source == 1].mean() > 0.5
    assert changed[source == 2].mean() > 0.5
    alone = whole.tasks["turned"].build(cache)
    mine, cells = rows_of(task, "train", "turned"), columns(alone, task)
    own = alone.augment(mine.inputs[:, cells], mine.labels[:, cells], np.random.default_rng(5))
    ours = task.augment(mine.inputs, mine.labels, np.random.default_rng(5))
    assert np.array_equal(ours[0][:, cells], own[0])
    assert np.array_equal(ours[1][:, cells], own[1])


def test_padding_is_never_counted(mixtures: dict[str, Pair]) -> None:
    whole, alone = mixtures["sizes"]
    task, rng = alone["small"], np.random.default_rng(0)
    mine, cells = rows_of(whole, "valid", "small"), columns(alone["small"], whole)
    own = task.split("valid")
    answers = own.labels[None].repeat(2, 0)
    answers[:, ::3] = np.where(rng.random(answers[:, ::3].shape) < 0.3, 1, answers[:, ::3])
    q = rng.normal(size=answers.shape[:2]).astype(np.float32)
    loss = np.ones(len(own), dtype=np.float32)
    padded = rng.integers(whole.vocab_size, size=(2, len(own), whole.seq_len), dtype=np.int32)
    padded[..., cells] = answers
    expected = score(Thinking(answers, q, loss), task, own)
    assert 0.0 < expected.exact_accuracy < 1.0
    assert score(Thinking(padded, q, loss), whole, mine) == expected


def test_a_floor_is_the_mean_by_share_of_valid(mixtures: dict[str, Pair]) -> None:
    _, alone = mixtures["sizes"]
    tasks = dict(alone)
    for name, floor in (("small", 0.25), ("large", 0.5)):
        tasks[name] = type(tasks[name]).__new__(type(tasks[name]))
        tasks[name].__dict__.update(alone[name].__dict__, floor=floor)
    assert MixtureTask(tasks).floor == pytest.approx(0.375)
    assert mixtures["sizes"][0].floor == 0.0


# --- splits apart -------------------------------------------------------------------------------


def assert_apart(task: Task) -> None:
    keys = {
        name: set(task.symmetry_keys(task.split(name).inputs, task.split(name).labels))
        for name in SPLITS
    }
    for one, other in combinations(SPLITS, 2):
        assert not keys[one] & keys[other]


@pytest.mark.parametrize(
    "tasks",
    [
        SECTIONS["twins"],
        {"few": {**SUDOKU, "blanks": [4, 5]}, "many": {**SUDOKU, "blanks": [5, 6], "seed": 3}},
        {"few": {**SMALL, "visited": [2, 3]}, "many": {**SMALL, "visited": [3, 4]}, "x": SUDOKU},
    ],
)
def test_no_puzzle_is_in_two_splits_whatever_task_it_is_of(tasks: Any, cache: Path) -> None:
    whole = config(tasks)
    task = whole.build(cache)
    assert_apart(task)
    alone = [child.build(cache) for child in whole.tasks.values()]
    assert len(task.split("test")) == sum(len(child.split("test")) for child in alone)


def test_what_another_task_holds_out_is_left_out(cache: Path) -> None:
    sizes = {"train_examples": 400, "valid_examples": 60, "test_examples": 60}
    whole = config({name: {**SUDOKU, **sizes, "seed": seed} for seed, name in enumerate("ab")})
    task = whole.build(cache)
    assert_apart(task)
    assert len(task.split("test")) == 120
    assert 0 < len(task.split("valid")) < 120
    assert 0 < len(task.split("train")) < 800


def test_a_split_that_another_task_holds_out_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_text("..34341221434321\n1.3434124321214.\n12.44321214334.2\n")
    ones = {f"{name}_examples": 1 for name in SPLITS}
    child = {"name": "sudoku", "box": [2, 2], **ones, "file": str(path)}
    assert len(config({"a": child, "b": child}).build().split("test")) == 2
    with pytest.raises(UserError) as error:
        config({"a": child, "b": {**child, "seed": 1}}).build()
    message = str(error.value)
    assert re.match(r"task\.tasks\.[ab]: each of its (valid|train) puzzles is held out", message)


# --- puzzles from people and files --------------------------------------------------------------


def test_a_puzzle_is_read_by_the_first_task_that_takes_it(mixtures: dict[str, Pair]) -> None:
    whole, alone = mixtures["sizes"]
    texts = {"small": "Rdl udl lll", "large": "Rdlu ddll uuuu rrrr"}
    for index, (source, text) in enumerate(texts.items()):
        tokens = whole.parse(text)
        own = alone[source].parse(text)
        assert np.array_equal(tokens[columns(alone[source], whole)], own)
        assert whole.show(tokens) == alone[source].show(own)
        assert whole.identify(tokens[None]).tolist() == [index]
    with pytest.raises(UserError, match=r"^puzzle: no source takes it: small: 'Rdl' needs 9.*16"):
        whole.parse("Rdl")
    twins, _ = mixtures["twins"]
    assert twins.identify(twins.parse(texts["small"])[None]).tolist() == [0]


def test_a_file_needs_one_task_that_reads_it(mixtures: dict[str, Pair], tmp_path: Path) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_text("12.4341221434.21\n")
    with pytest.raises(UserError, match=r"none of the sources reads files: small, large$"):
        mixtures["sizes"][0].read(path)
    whole, alone = mixtures["kinds"]
    split = whole.read(path)
    assert split.inputs.shape == (1, 16)
    assert split.puzzle_identifiers.tolist() == [1]
    assert np.array_equal(split.inputs - 8, alone["sudoku"].read(path).inputs)
    assert whole.verify(split.inputs, split.labels).all()
    three, _ = mixtures["three"]
    assert three.read(path).puzzle_identifiers.tolist() == [0]
    path.write_text("12.4\n")
    with pytest.raises(UserError, match=r"no source reads it: sudoku: .*; wide: "):
        three.read(path)


def test_a_file_that_two_tasks_read_is_refused(cache: Path, tmp_path: Path) -> None:
    wide = {**SUDOKU, "box": [2, 3], "blanks": 6}
    task = config({"wide": wide, "tall": {**wide, "box": [3, 2]}}).build(cache)
    path = tmp_path / "puzzles.txt"
    path.write_text(".23456456123362514514362231645645231\n")
    with pytest.raises(UserError, match=r"wide and tall read it differently"):
        task.read(path)


# --- curriculum and training --------------------------------------------------------------------


def stages(weights: dict[str, Any]) -> dict[str, Any]:
    return {"name": "mixture", "weights": weights}


def test_a_stream_follows_the_weights_of_the_sources(mixtures: dict[str, Pair]) -> None:
    whole, _ = mixtures["sizes"]
    for weights in ((0.5, 0.5), (0.2, 0.8), (1.0, 0.0), (0.0, 1.0)):
        stream = ExampleStream(whole, seed=1)
        examples = stream.take(1500, sources=weights)
        share = (examples.puzzle_identifiers == 0).mean()
        assert share == pytest.approx(weights[0], abs=0.03)
        assert whole.verify(examples.inputs, examples.labels).all()
        assert 0.0 <= examples.difficulty.min() < examples.difficulty.max() < 1.0
    plain = ExampleStream(whole, seed=1).take(1350)
    assert (plain.puzzle_identifiers == 0).sum() == 900


@pytest.mark.parametrize("name", ["sizes", "kinds"])
def test_a_mixture_trains_and_resumes_exactly(
    name: str, tiny: Callable[..., dict[str, Any]], cache: Path
) -> None:
    first, second = SECTIONS[name]
    falling = {"name": "linear", "start": 1.0, "end": 0.0}
    changes = {
        "task": {"name": "mixture", "tasks": SECTIONS[name]},
        "curriculum.sources": stages({first: falling, second: 1.0}),
        "train.budget.steps": 36,
        "train.reports": 6,
    }
    experiment = experiment_from(tiny(changes))
    task = experiment.task.build(cache)
    whole = Trainer(experiment, task)
    reports = [report.row() for report in whole.run()]
    assert reports[-1]["step"] == 36
    assert all(np.isfinite(row["train_loss"]) and np.isfinite(row["lm_loss"]) for row in reports)
    assert reports[-1]["lm_loss"] < reports[0]["lm_loss"]
    assert whole.stage.sources[0] < 0.05
    half = Trainer(experiment, task)
    steps = iter(range(13))
    list(half.run(stop=lambda: next(steps, None) is None))
    resumed = Trainer(experiment, task)
    resumed.load_state_dict(half.state_dict())
    rest = [report.row() for report in resumed.run()]
    for row, other in zip(reports[-len(rest) :], rest, strict=True):
        timeless = {key for key in row if key not in MACHINE_COLUMNS}
        assert {key: row[key] for key in timeless} == {key: other[key] for key in timeless}
    for key, tensor in whole.state_dict().weights.items():
        assert bool((tensor == resumed.state_dict().weights[key]).all())


def test_the_capped_valid_split_holds_both_sources(mixtures: dict[str, Pair]) -> None:
    whole, _ = mixtures["sizes"]
    some = subset(whole.split("valid"), 10)
    assert sorted(some.puzzle_identifiers.tolist()) == [0] * 5 + [1] * 5


def test_an_unknown_source_is_named(tiny: Callable[..., dict[str, Any]], cache: Path) -> None:
    task = {"name": "mixture", "tasks": SECTIONS["sizes"]}
    tree = tiny({"task": task, "curriculum.sources": stages({"smal": 1.0})})
    experiment = experiment_from(tree)
    expected = r"^curriculum\.sources\.weights\.smal: no such source: did you mean small"
    with pytest.raises(UserError, match=expected):
        Trainer(experiment, experiment.task.build(cache))


# --- errors -------------------------------------------------------------------------------------
