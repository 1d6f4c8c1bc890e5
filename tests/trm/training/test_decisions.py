"""What a run says of its own decisions is what it goes by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trm.config import experiment_from
from trm.device import resolve
from trm.network.fused.library import NoLibraryError
from trm.training.decisions import decisions
from trm.training.steps import kernel
from trm.training.trainer import Trainer

Tiny = Callable[..., dict[str, Any]]


def said(tree: dict[str, Any], cache: Path, **options: Any) -> dict[str, str]:
    config = experiment_from(tree)
    trainer = Trainer(config, config.task.build(cache), **options)
    return {one.key: one.text().partition(": ")[2] for one in decisions(trainer)}


def test_what_is_open_has_a_reason_and_what_is_said_has_none(tiny: Tiny, cache: Path) -> None:
    found = said(tiny({"train.device": "cpu", "train.kernel": "eager"}), cache)
    assert found["train.device"] == "cpu (as the config says)"
    assert found["train.kernel"] == "eager (as the config says)"
    assert found["train.precision"].startswith("float32 (auto: ")
    assert found["train.threads"] == "1 (as the config says)"
    assert found["train.compile"] == "false (as the config says)"
    assert found["train.budget"].endswith("steps)")


def test_why_there_is_no_library(tiny: Tiny, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(model: object) -> None:
        raise NoLibraryError("no C++ compiler (g++)")

    monkeypatch.setattr(kernel, "use_fused", none)
    tree = tiny({"train.kernel": "auto", "train.device": "cpu"})
    assert said(tree, cache)["train.kernel"] == "eager (auto: no C++ compiler (g++))"
    wide = tiny({"train.kernel": "auto", "train.device": "cpu", "train.precision": "bfloat16"})
    assert said(wide, cache)["train.kernel"] == "eager (auto: bfloat16, not float32)"


def test_what_a_run_was_begun_with_is_kept(tiny: Tiny, cache: Path) -> None:
    tree = tiny({"train.kernel": "auto", "train.device": "cpu"})
    before = replace(resolve(experiment_from(tree).train), threads=3, kernel="eager")
    found = said(tree, cache, resolved=before)
    assert found["train.threads"] == "3 (as it was when the run began)"
    assert found["train.kernel"] == "eager (auto: as it was when the run began)"


def test_evaluations_say_how_many_examples_and_what_they_cost(tiny: Tiny, cache: Path) -> None:
    sizes = {"task.size": 4, "task.valid_examples": 260, "train.valid_examples": 250}
    changes = sizes | {"train.reports": 4, "train.budget.steps": 10}
    assert said(tiny(changes), cache)["train.eval_share"].startswith(
        "200 of 250 examples at each report but the last ("
    )
    changes["train.budget.steps"] = 50_000
    found = said(tiny(changes), cache)["train.eval_share"]
    assert found.startswith("250 examples at each report (")
    assert "above" not in found
    assert said(tiny(changes | {"train.early_examples": 9}), cache)["train.early_examples"] == (
        "9 of 250 examples at each report but the last (as the config says)"
    )
    off = said(tiny(changes | {"train.eval_share": None}), cache)["train.eval_share"]
    assert off == "250 examples at each report (null: all of them)"
