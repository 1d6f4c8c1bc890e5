"""Several processes train the run that one would train alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.ranks import Job, train_job, train_together
from trm.errors import UserError
from trm.ranks import ALONE, Joined, OwnRows
from trm.report import MACHINE_COLUMNS
from trm.training.trainer import Trainer

ARROWS = {"name": "arrows", "valid_examples": 20, "test_examples": 20, "size": 3}
EVERY = {"train.budget.steps": 24, "train.ema": 0.9, "diagnostics.probe": None}
CONFIGS: dict[str, dict[str, Any]] = {
    "adamw, mlp_t, probes": {**EVERY, "diagnostics.probe": "reports"},
    "adam_atan2, attention, continue head, clipped, uneven rows": {
        **EVERY,
        "optimizer.name": "adam_atan2",
        "optimizer.grad_clip": 0.3,
        "model.mixer": "attention",
        "model.no_ACT_continue": False,
        "train.batch_size": 9,
        "train.kernel": "eager",
    },
    "sparse puzzle embedding, augmented": {
        **EVERY,
        "task": {
            "name": "mixture",
            "tasks": {
                "one": {**ARROWS, "visited": [2, 3], "train_examples": 30, "augment": True},
                "other": {**ARROWS, "visited": [2, 4], "train_examples": 60, "augment": True},
            },
        },
        "optimizer.puzzle_emb_lr": 1e-2,
        "optimizer.puzzle_emb_weight_decay": 0.1,
    },
    "adaptive curriculum, noise on the state": {
        **EVERY,
        "curriculum": {
            "depth": {"name": "competence", "levels": 2, "threshold": 0.0, "patience": 4},
            "supervision": {"name": "halt_growth", "threshold": 0.4, "patience": 8},
            "difficulty": {"name": "bandit", "arms": 3},
            "latent_noise": {"name": "linear", "start": 0.1, "end": 0.0},
            "feedback_every": 0.1,
        },
    },
    "random states, noise in each update, cycles left out, two steps to an update": {
        **EVERY,
        "model.initial_state": "random",
        "model.state_transfer": "damped",
        "curriculum.stochastic_depth": 0.4,
        "train.supervision_per_update": 2,
        "train.kernel": "eager",
    },
}
SPARSE = "sparse puzzle embedding, augmented"

Found = dict[str, Any]


def close(one: Found, other: Found, tolerance: float) -> None:
    """The same losses and weights but for rounding."""
    assert len(one["losses"]) == len(other["losses"]) >= 6
    torch.testing.assert_close(
        torch.tensor(one["losses"]), torch.tensor(other["losses"]), rtol=tolerance, atol=0.0
    )
    for name, weights in one["weights"].items():
        torch.testing.assert_close(
            torch.tensor(weights), torch.tensor(other["weights"][name]),
            rtol=0.0, atol=tolerance, msg=lambda said, name=name: f"{name}: {said}",
        )  # fmt: skip


@pytest.fixture(scope="module")
def trained(
    tiny: Callable[..., Found], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Found, list[Found]]]:
    """Of each config what one process found, and each of two; and of runs that changed sides."""
    folder = tmp_path_factory.mktemp("ranks")

    def job(name: str, where: str, **options: Any) -> Job:
        sparse_from = 0 if name == SPARSE else 1000
        target = folder / where / str(list(CONFIGS).index(name))
        return Job(tiny(CONFIGS[name]), str(target), sparse_from=sparse_from, **options)

    alone = {name: train_job(job(name, "alone")) for name in CONFIGS}
    halves = [job(name, "half alone", steps=12) for name in CONFIGS]
    for half in halves:
        train_job(half)
    jobs = [
        *(job(name, "two") for name in CONFIGS),
        *(job(name, "half of two", steps=12) for name in CONFIGS),
        *(
            job(name, "one, then two", start=str(Path(half.folder) / "end"))
            for name, half in zip(CONFIGS, halves, strict=True)
        ),
    ]
    ranks = train_together(jobs, 2, folder)
    found: dict[str, tuple[Found, list[Found]]] = {}
    for index, name in enumerate(CONFIGS):
        found[name] = (alone[name], [ranks[0][index], ranks[1][index]])
        before = folder / "half of two" / str(index) / "end"
        after = train_job(job(name, "two, then one", start=str(before)))
        found[f"{name}: two, then one"] = (alone[name], [after])
        found[f"{name}: one, then two"] = (alone[name], [ranks[0][index + 2 * len(CONFIGS)]])
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_train_the_run_of_one(
    trained: dict[str, tuple[Found, list[Found]]], name: str
) -> None:
    alone, (first, second) = trained[name]
    assert first["losses"] == second["losses"]
    assert first["weights"] == second["weights"]
    close(alone, first, 1e-5)
    # What is counted and decided is the same to the last digit.
    counted = {
        key for key, value in alone["rows"][0].items()
        if isinstance(value, int) and key not in MACHINE_COLUMNS
    }  # fmt: skip
    assert len(counted) > 8
    for one, other in zip(alone["rows"], first["rows"], strict=True):
        assert {key: one[key] for key in counted} == {key: other[key] for key in counted}
        assert one["exact_accuracy"] == other["exact_accuracy"]
        assert one["lm_loss"] == pytest.approx(other["lm_loss"], rel=1e-5)


@pytest.mark.parametrize("way", ["two, then one", "one, then two"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_goes_on_with_another_number_of_processes(
    trained: dict[str, tuple[Found, list[Found]]], name: str, way: str
) -> None:
    alone, (after,) = trained[f"{name}: {way}"]
    before = 12 // CONFIGS[name].get("train.supervision_per_update", 1)
    second_half = {"losses": alone["losses"][before:], "weights": alone["weights"]}
    close(second_half, after, 1e-5)


def test_rows_are_shared_out_evenly() -> None:
    places = [Joined(rank, 4).place(10) for rank in range(4)]
    assert places == [OwnRows(0, 2, 10), OwnRows(2, 5, 10), OwnRows(5, 7, 10), OwnRows(7, 10, 10)]
    assert ALONE.place(10) == OwnRows(0, 10, 10)


def test_a_batch_smaller_than_the_processes_is_refused(
    tiny: Callable[..., Found], cache: Path
) -> None:
    from trm.config import experiment_from

    config = experiment_from(tiny({"train.batch_size": 3}))
    trainer = Trainer(config, config.task.build(cache))
    with pytest.raises(UserError, match=r"train.batch_size: 3 is less than 4 processes"):
        trainer.join(Joined(0, 4))
