from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from curricula.curriculum import Curriculum
from curricula.feedback import Feedback
from curricula.preview import RESOLUTION, PreviewPoint, always, preview, walk
from curricula.published import CURRICULA
from curricula.stage import Depth, Stage
from trm.config import experiment_from
from trm.training.curriculum import full_stage
from trm.training.flops import step_flops
from trm.training.trainer import Trainer

FULL = Stage(H_cycles=3, L_cycles=6, supervision_steps=8)


def trm_cost(depth: Depth) -> float:
    """Recursions of a training step as the trainer counts them: the last H cycle runs backward."""
    return float((depth.H_cycles + 2) * (depth.L_cycles + 1))


def cgar_cost(depth: Depth) -> float:
    """The cost of CGAR's own tables (arXiv 2511.08653, section 3.3): every recursion counts 1."""
    return float(depth.H_cycles * (depth.L_cycles + 1))


def curriculum(**parts: Any) -> Curriculum:
    return CURRICULA[parts.pop("name", "custom")].model_validate(parts)


# --- against the trainer -----------------------------------------------------------------------

STAGES = [{"at": 0.0, "H_cycles": 1}, {"at": 0.2, "H_cycles": 2, "L_cycles": 1}, {"at": 0.6}]
SAME: dict[str, dict[str, Any]] = {
    "none": {},
    "stages": {"depth": {"name": "stages", "stages": STAGES}},
    "rewarm": {"name": "rsm", "depth": {"name": "rsm", "start": 1}, "rewarm_steps": 6},
    "everything fixed": {
        "name": "cgar",
        "supervision": {"name": "ramp"},
        "difficulty": {"name": "easy_to_hard"},
        "halt_weight": {"name": "cosine"},
        "exploration": {"name": "linear", "start": 1.0, "end": 0.0},
        "latent_noise": {"name": "step", "start": 0.2, "end": 0.0},
        "learning_rate": {"name": "linear", "start": 1.0, "end": 0.3},
        "rewarm_steps": 4,
    },
    # No threshold: any feedback is good enough, so the trainer climbs as the preview supposes.
    "adaptive": {
        "depth": {"name": "competence", "threshold": 0.0},
        "supervision": {"name": "competence", "threshold": 0.0, "patience": 4},
        "rewarm_steps": 3,
        "feedback_every": 0.05,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_the_walk_is_the_trainers_own(
    case: str, tiny: Callable[..., dict[str, Any]], cache: Path
) -> None:
    config = experiment_from(tiny({"curriculum": SAME[case], "train.budget.steps": 25}))
    task = config.task.build(cache)
    trainer = Trainer(config, task)
    trainer.prepare()
    taken = []
    while trainer.progress < 1.0:
        step, before = trainer.counters.step, trainer.progress
        trainer.train_step()
        compute = trainer.counters.compute
        taken.append(PreviewPoint(step, before, trainer.progress, compute, trainer.stage))
    walked = list(
        walk(
            config.curriculum,
            full_stage(config),
            lambda depth: step_flops(config, task, depth),
            trainer.budget,
        )
    )
    assert walked == taken
    assert case == "none" or len({point.stage for point in walked}) > 2


# --- what is kept of it ------------------------------------------------------------------------


def test_a_long_run_is_kept_in_little_memory() -> None:
    everything = curriculum(**SAME["everything fixed"])
    tracemalloc.start()
    kept = preview(everything, FULL, trm_cost, 20_000 * trm_cost(FULL.depth))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept.steps > 40_000
    assert RESOLUTION <= len(kept.points) < RESOLUTION + 100
    assert peak < 4e6


@pytest.mark.parametrize("name", CURRICULA)
def test_kept_points_are_the_walks_own_and_none_that_matters_is_left_out(name: str) -> None:
    budget = 5000 * trm_cost(FULL.depth)
    kept = preview(curriculum(name=name), FULL, trm_cost, budget)
    walked = list(walk(curriculum(name=name), FULL, trm_cost, budget))
    assert kept.steps == len(walked)
    assert kept.points[0] == walked[0]
    assert kept.points[-1] == walked[-1]
    assert all(walked[point.step] == point for point in kept.points)
    whole = [(p.stage.depth, p.stage.supervision_steps) for p in walked]
    steps = {point.step for point in kept.points}
    for step, (before, after) in enumerate(pairwise(whole), start=1):
        assert before == after or {step - 1, step} <= steps
    # Between kept points the learning rate moves in a line.
    for a, b in pairwise(kept.points):
        for point in walked[a.step : b.step]:
            share = (point.step - a.step) / (b.step - a.step)
            line = a.stage.lr_factor + share * (b.stage.lr_factor - a.stage.lr_factor)
            assert point.stage.lr_factor == pytest.approx(line, abs=1e-9)


def test_steps_to_keep_and_progress_are_honoured() -> None:
    seen: list[float] = []
    kept = preview(
        Curriculum(), FULL, trm_cost, 9000 * trm_cost(FULL.depth), keep={4321}, watch=seen.append
    )
    assert 4321 in {point.step for point in kept.points}
    assert len(seen) <= RESOLUTION + 1
    assert seen == sorted(seen)


def test_changes_say_what_moves_from_when_to_when() -> None:
    driven = curriculum(
        depth={"name": "stages", "stages": [{"at": 0.0, "H_cycles": 1}, {"at": 0.5}]},
        latent_noise={"name": "linear", "start": 0.4, "end": 0.0, "warmup": 0.1, "hold": 0.5},
        learning_rate={"name": "piecewise", "milestones": [
            {"at": 0.0, "value": 1.0}, {"at": 0.25, "value": 0.5, "label": "halved"},
        ]},
    )  # fmt: skip
    kept = preview(driven, FULL, lambda _: 1.0, 1000.0)
    found = [(c.quantity, c.first.step, c.last.step, c.before, c.after) for c in kept.changes]
    assert found == [
        ("latent_noise", 101, 550, 0.4, 0.0),
        ("lr_factor", 250, 250, 1.0, 0.5),
        ("H_cycles", 500, 500, 1, 3),
    ]
    assert [(m.label, m.part, m.point.step) for m in kept.landmarks] == [
        ("halved", "learning_rate", 250)
    ]


def test_rewarming_is_a_fall_and_a_rise() -> None:
    driven = curriculum(
        depth={"name": "stages", "stages": [{"at": 0.0, "H_cycles": 1}, {"at": 0.5}]},
        rewarm_steps=10,
    )
    kept = preview(driven, FULL, lambda _: 1.0, 100.0)
    found = [(c.first.step, c.last.step, c.before, c.after) for c in kept.changes[1:]]
    assert found == [(50, 50, 1.0, 0.1), (51, 59, 0.1, 1.0)]


def test_labels_are_found_however_deep() -> None:
    named = {"name": "segments", "segments": [
        {"value": 0.2, "label": "a"}, {"value": 1.0, "length": 3.0, "label": "b"},
    ]}  # fmt: skip
    driven = curriculum(
        depth={"name": "ramp", "curve": named},
        difficulty={"name": "mixture", "weights": [1.0, named]},
        sources={"name": "mixture", "weights": {"one": named}},
    )
    kept = preview(driven, FULL, trm_cost, 1e5, sources=("one",))
    parts = ["depth", "difficulty", "sources"]
    assert [(m.part, m.label) for m in kept.landmarks] == [(p, x) for x in "ab" for p in parts]
    assert all(m.point.progress >= 0.25 for m in kept.landmarks if m.label == "b")


# --- compute -----------------------------------------------------------------------------------


def test_a_full_run_saves_nothing_and_buys_what_it_was_given() -> None:
    kept = preview(Curriculum(), FULL, trm_cost, 65_104 * trm_cost(FULL.depth))
    assert (kept.steps, kept.full_steps, kept.saved) == (65_104, 65_104, 0.0)


def test_cgar_saves_what_its_paper_says() -> None:
    """41.4 % fewer FLOPs, where progress is a share of the steps: then each step costs the same."""
    steps = list(walk(curriculum(name="cgar"), FULL, lambda _: 1.0, 10_000.0))
    spent = sum(cgar_cost(point.stage.depth) for point in steps)
    assert 1.0 - spent / (len(steps) * cgar_cost(FULL.depth)) == pytest.approx(0.414, abs=5e-4)


def test_shares_of_compute_buy_more_steps_than_shares_of_steps() -> None:
    """By hand: 30, 30 and 40 % of the compute at costs 3, 10 and 21."""
    kept = preview(curriculum(name="cgar"), FULL, cgar_cost, 21e4)
    per_step = [3.0, 10.0, 21.0]
    bought = sum(share / cost for share, cost in zip([0.3, 0.3, 0.4], per_step, strict=True))
    assert kept.steps == pytest.approx(21e4 * bought, abs=3)
    assert kept.full_steps == 10_000
    assert kept.saved == pytest.approx(1.0 - 1.0 / (bought * 21.0), abs=1e-3)
    assert kept.full_compute == kept.steps * 21.0


# --- feedback ----------------------------------------------------------------------------------


def test_the_default_feedback_moves_as_early_as_it_may_and_zeros_leave_it_to_the_deadline() -> None:
    rising = curriculum(depth={"name": "competence", "patience": 3, "deadline": 0.8})
    budget = 1000 * trm_cost(FULL.depth)
    early = preview(rising, FULL, trm_cost, budget)
    late = preview(rising, FULL, trm_cost, budget, feedback=always(0.0))
    starts = [c.first.progress for c in early.changes if c.quantity == "H_cycles"]
    assert starts == pytest.approx([0.03, 0.06], abs=2e-3)
    starts = [c.first.progress for c in late.changes if c.quantity == "H_cycles"]
    assert starts == pytest.approx([0.4, 0.8], abs=2e-3)
    assert late.saved > early.saved > 0.0


def test_feedback_is_the_callers_to_assume() -> None:
    def training(progress: float) -> Feedback:
        return Feedback(1.0, 0.9 if progress > 0.5 else 0.1, 0.5)

    rising = curriculum(depth={"name": "competence", "patience": 1, "deadline": None})
    kept = preview(rising, FULL, trm_cost, 1000 * trm_cost(FULL.depth), feedback=training)
    first = next(c.first.progress for c in kept.changes)
    assert 0.5 < first < 0.52


def test_a_source_that_is_not_there_is_refused() -> None:
    mixture = curriculum(sources={"name": "mixture", "weights": {"hub": 1.0}})
    with pytest.raises(ValueError, match=r"weights\.hub: no such source"):
        preview(mixture, FULL, trm_cost, 1e4)
