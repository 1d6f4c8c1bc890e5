"""What is said of a depth and a breadth, against shares taken by hand."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from search.analysis.thought.picture import picture
from search.analysis.thought.result import (
    THOUGHT_FILE,
    read_thought,
    save_thought,
    thought_point,
)
from search.analysis.thought.text import thought_text
from search.stats.averages import mean_interval
from search.stats.intervals import share_interval
from tests.support.thoughts import LEVELS, N, thought, thought_at
from trm.errors import UserError

RUN = Path(__file__).parents[3] / "data/run_v1/finished"


def test_one_model_has_wilsons_interval_over_puzzles() -> None:
    own = thought_at(0)
    found = thought_point([own], 1, LEVELS, 2e6)
    share = float(own.picked["q"].mean())
    expected = share_interval(share, N, 0.9)
    assert (found.picked["q"].mean, found.picked["q"].each) == (share, [share])
    assert (found.picked["q"].low, found.picked["q"].high) == (expected.low, expected.high)
    assert found.mean_steps == own.spent.mean()
    assert found.flops == pytest.approx(2e6 * own.spent.mean())
    assert found.gaps["q"] == pytest.approx(own.passed.mean() - share)
    assert found.gaps["best_q"] == pytest.approx(
        own.passed_anywhere.mean() - own.picked["best_q"].mean()
    )


def test_seeds_have_the_interval_of_their_mean() -> None:
    models = [thought_at(seed) for seed in range(3)]
    found = thought_point(models, 1, LEVELS, 1.0).picked["q"]
    each = [float(model.picked["q"].mean()) for model in models]
    expected = mean_interval(each, 0.9, examples=N)
    assert found.each == each
    assert found.mean == pytest.approx(np.mean(each))
    assert (found.low, found.high) == (expected.low, expected.high)
    assert expected.width > 0.02


def test_every_difficulty_has_its_own_puzzles() -> None:
    models = [thought_at(0), thought_at(1)]
    found = thought_point(models, 1, LEVELS, 1.0).by_difficulty
    assert [level.difficulty for level in found] == ["2", "3", "5", "9"]
    for level, begin in zip(found, range(0, N, 10), strict=True):
        rows = slice(begin, begin + 10)
        assert level.examples == 10
        assert level.passed == pytest.approx(np.mean([m.passed[rows] for m in models]))
        assert level.picked["q"] == pytest.approx(np.mean([m.picked["q"][rows] for m in models]))


def test_many_difficulties_are_grouped_and_one_is_none() -> None:
    many = np.linspace(0.0, 1.0, N, dtype=np.float32)[::-1].copy()
    found = thought_point([thought_at(0)], 1, many, 1.0).by_difficulty
    assert len(found) == 5
    assert sum(level.examples for level in found) == N
    assert found[0].difficulty.startswith("0 to 0.1")
    assert found[-1].difficulty.endswith("to 1")
    assert thought_point([thought_at(0)], 1, np.ones(N, np.float32), 1.0).by_difficulty == []


def test_the_axes_share_their_first_point() -> None:
    found = thought()
    assert [(p.depth, p.breadth) for p in found.by_depth] == [(1, 1), (4, 1), (16, 1)]
    assert [(p.depth, p.breadth) for p in found.by_breadth] == [(1, 1), (1, 8)]


def test_a_person_reads_every_point_and_difficulty() -> None:
    text = thought_text(thought())
    rows = [line.split() for line in text.splitlines()]
    assert ["16x", "1"] in [row[:2] for row in rows]
    assert ["1x", "8"] in [row[:2] for row in rows]
    assert "noise of all rollouts but the first: z_L 0.2; seed 3" in text
    [header] = [row for row in rows if row[:1] == ["difficulty"]]
    assert header[2:] == ["1x1", "4x1", "16x1", "1x8"]
    assert [row[0] for row in rows[-4:]] == ["2", "3", "5", "9"]
    assert "3 seeds" in thought_text(thought(3))


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_picture_is_a_file_of_its_kind(kind: str) -> None:
    data = picture(thought(), kind)
    assert data.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[kind])
    assert data == picture(thought(), kind)
    if kind == "svg":
        texts = " ".join("".join(node.itertext()) for node in ElementTree.fromstring(data).iter())
        for words in ("FLOPs of inference", "16x", "K8", "pass@K", "picked by best_q", "z_L 0.2"):
            assert words in texts


def test_it_is_kept_in_the_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    assert read_thought(run) is None
    save_thought(run, thought(2))
    assert read_thought(run) == thought(2)
    tree = json.loads((run / THOUGHT_FILE).read_text())
    assert json.loads(json.dumps(asdict(thought(2))))["points"] == tree["points"]
    (run / THOUGHT_FILE).write_text((run / THOUGHT_FILE).read_text().replace("valid", "test"))
    with pytest.raises(UserError, match=re.escape("`trm eval RUN --depth ...` writes it again")):
        read_thought(run)
