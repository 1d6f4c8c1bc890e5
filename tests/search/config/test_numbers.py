"""Numbers beyond what anything can be trained with: each is one line with exit code 2."""

from __future__ import annotations

from typing import Any

import pytest

from search.cli import main
from search.config.config import read_config
from search.space.space import Space
from trm.errors import UserError

HUGE = "1" + 299 * "0"

REFUSED = [
    ("optimizer.lr_warmup_steps={int: [1, 1" + 30 * "0" + "]}", "too large to be `high`"),
    ("optimizer.lr_warmup_steps={int: [1, 1e30]}", "too large to be `high`"),
    ("optimizer.lr_warmup_steps={int: [1, 1" + 400 * "0" + "]}", "a number of 401 digits"),
    ("optimizer.lr_warmup_steps={logint: [1, HUGE]}", "too large to be `high`"),
    ("optimizer.lr_warmup_steps={int: {low: 1, high: 9, step: HUGE}}", "too large to be `step`"),
    ("optimizer.lr_warmup_steps={int: [1, 1000000000000000]}", "must be at most 1e+12"),
    ("optimizer.lr={uniform: [-1e308, 1e308]}", "too large to be `low`"),
    ("optimizer.lr={loguniform: [5e-324, 1]}", "is too small"),
    ("optimizer.lr={loguniform: [-9.2, -2.3]}", "or [0.000101, 0.1003] if these are exponents"),
    ("optimizer.lr={uniform: {min: 0.1, max: 0.5}}", "is no key of `uniform`: write low"),
    ("optimizer.lr={uniform: {low: 0.1, high: 0.5, default: HUGE}}", "to be `default`"),
    ("optimizer.lr={uniform: {low: 0.1, high: .inf}}", "must be a finite number"),
    ("optimizer.lr=HUGE", "must be at most 1e+12"),
    ("search.trials=1e20", "must be a whole number"),
    ("search.trials=100000000000000000000", "must be at most 1e+06"),
    ("search.seed=HUGE", "must be at most"),
    ("train.seed=HUGE", "must be at most"),
    ("task.seed=18446744073709551616", "must be at most"),
    ("task.train_examples=100000000000000000000", "must be at most"),
    ("model.H_cycles=9007199254740992", "must be at most 1000"),
    ("model.L_cycles=HUGE", "must be at most 1000"),
    ("model={H_cycles: 1000, L_cycles: 1000}", "more than 20,000 updates of the state"),
    ("model.halt_max_steps=9007199254740992", "must be at most 10000"),
    ("model.hidden_size=9223372036854775808", "must be at most 65536"),
    ("model.expansion=1e300", "must be at most 1000"),
    ("train.threads=100000", "must be at most 256"),
    ("train.batch_size=HUGE", "must be at most"),
    ("train.reports=9007199254740992", "must be at most 10000"),
    ("train.budget={steps: HUGE}", "must be at most 1e+12"),
    ("train.budget={flops: 1e300}", "must be at most 1e+30"),
    ("train.budget={minutes: 1e300}", "must be at most 1e+07"),
    ("stability.candidates=HUGE", "must be at most"),
    ("cluster.parallel=HUGE", "must be at most"),
    ("search.scheduler={name: hyperband, eta: 1e300}", "must be at most 100"),
    ("search.scheduler={name: hyperband, min_share: 5e-324}", "must be at least 0.0001"),
    ("search.scheduler={name: median, min_trials: HUGE}", "must be at most"),
    ("search.sampler={name: tpe, n_startup_trials: HUGE}", "must be at most"),
    ("search.sampler={name: tpe, n_ei_candidates: HUGE}", "must be at most"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "word"), REFUSED)
def test_a_number_beyond_reason_is_one_line(
    setting: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "arrows4", "--dry-run", "--set", setting.replace("HUGE", HUGE)]) == 2
    said = capsys.readouterr().err
    assert word in said
    assert said.count("\n") == 1
    assert len(said) < 700


BEYOND = {"model.H_cycles": 10**5000, "optimizer.lr": {"int": [1, 10**5000]}, "name": 10**5000}


@pytest.mark.parametrize("path", BEYOND)
def test_a_number_that_python_cannot_write_out_is_one_line(path: str) -> None:
    value: Any = BEYOND[path]
    section, _, key = path.partition(".")
    tree = {"task": "arrows", section: {key: value} if key else value}
    with pytest.raises(UserError, match=rf"{path}: .*thousands of digits"):
        read_config(tree)


def test_more_trials_than_can_be_are_refused_on_the_command_line() -> None:
    config = read_config("arrows4")
    with pytest.raises(UserError, match=r"--trials: 100000000000000000000 must be at most"):
        config.with_trials(10**20)


def test_a_space_of_many_large_ranges_says_its_size() -> None:
    ranges = {f"k{n}": {"int": [1, 2**53]} for n in range(40)}
    assert "configs" not in Space.parse(ranges).size_text  # beyond floats
    few = {f"k{n}": {"int": [1, 2**53]} for n in range(3)}
    assert Space.parse(few).size_text == "3 parameters, about 7e+47 configs"
