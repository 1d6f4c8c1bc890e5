"""A tiny experiment that trains in about a second, a cache folder, and which tests run abreast."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Examples in docstrings are tests (`--doctest-modules`); these folders hold none.
collect_ignore = ["benchmarks", "support"]

# Files that start Ray. With `-n` they run one after another in one process: on one cluster, and
# none is slow because another one has the cores.
RAY_FILES = frozenset(
    f"tests/{name}.py"
    for name in (
        "cases/test_cases",
        "cluster/test_connect",
        "search/engine/test_autoscaler",
        "search/engine/test_engine_collapse",
        "search/engine/test_fault_table",
        "search/engine/test_faults",
        "search/engine/test_job",
        "search/engine/test_gpu_joins",
        "search/engine/test_idle_workers",
        "search/engine/test_joining",
        "search/engine/test_kill",
        "search/engine/test_kill_schedulers",
        "search/engine/packing/test_packer",
        "search/engine/test_ray_tune",
        "search/engine/test_lost_nodes",
        "search/engine/test_shares",
        "search/engine/test_shared_gpus",
        "search/engine/test_together",
        "search/engine/test_two_nodes",
        "search/engine/test_unfit_nodes",
        "search/explore/test_population",
        "search/stability/test_ablations",
        "search/stability/test_sensitivity",
        "search/sweep/test_demo",
        "search/sweep/test_failing_machines",
        "search/sweep/test_judged_sweep",
        "search/sweep/test_launch",
        "search/sweep/test_stop",
        "search/sweep/test_stops",
        "search/sweep/test_uri_sweep",
        "search/test_surroundings",
    )
)

Tiny = Callable[..., dict[str, Any]]

# The same examples in every run, whichever process has them: a failure is no accident.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts and stops.
signal.signal(signal.SIGINT, signal.default_int_handler)

TREE: dict[str, Any] = {
    "name": "tiny",
    "task": {
        "name": "arrows", "size": 3, "visited": [2, 4],
        "train_examples": 150, "valid_examples": 40, "test_examples": 30,
    },
    "model": {
        "mixer": "mlp_t", "hidden_size": 16, "num_heads": 2, "L_layers": 1, "H_cycles": 2,
        "L_cycles": 2, "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1,
        "halt_max_steps": 3, "halt_exploration_prob": 0.3,
    },
    "optimizer": {
        "name": "adamw", "lr": 1e-2, "lr_warmup_steps": 5, "lr_min_ratio": 0.1,
        "weight_decay": 0.1,
    },
    "train": {"batch_size": 16, "budget": {"steps": 20}, "reports": 2, "ema": None},
}  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay together, as its fixtures are; so do all files that start Ray."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = nodeid.partition("::")[0]
            return "ray" if file in RAY_FILES else file

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where tasks keep their data while the tests run."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("TRM_CACHE")
    os.environ["TRM_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["TRM_CACHE"]
    else:
        os.environ["TRM_CACHE"] = before


OF_THE_SESSION = (
    "AWS_",
    "CRC32C_",
    "KMP_",
    "PYTEST_",
    "PYTHONBREAKPOINT",
    "RAY_",
    "TORCHINDUCTOR_",
    "_TORCHINDUCTOR_",
)
"""Variables that libraries and the session's own servers set once for all tests."""


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Every test leaves the working directory and the environment as they were."""
    before = _surroundings()
    yield
    after = _surroundings()
    os.chdir(before[0])
    assert after == before


def _surroundings() -> tuple[str, dict[str, str]]:
    mine = {k: v for k, v in os.environ.items() if not k.startswith(OF_THE_SESSION)}
    return os.getcwd(), mine


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """`tiny({"train.seed": 3})`: the tree of a tiny experiment, with values set by path."""
    from trm.config import set_value

    def tree(changes: dict[str, Any] | None = None) -> dict[str, Any]:
        changed = deepcopy(TREE)
        for path, value in (changes or {}).items():
            set_value(changed, path, deepcopy(value))
        return changed

    return tree
