"""Ranges and choices in the words of other tools: the line says what to write here."""

from __future__ import annotations

from typing import Any

import pytest

from search.config.checks import check_config
from search.config.config import read_config
from search.space.foreign_values import read_foreign
from search.space.foreign_words import in_our_words
from search.space.space import Space
from trm.device import resolve
from trm.errors import UserError
from trm.files.yaml12 import flow_yaml, parse_value

LOG = "{loguniform: [1.0e-05, 0.01]}"
LINE = "{uniform: [0.1, 0.5]}"
WHOLE = "{int: [1, 8]}"

WORDS: list[tuple[str, str]] = [
    # Ray Tune
    ("{log_uniform: [1e-5, 1e-2]}", LOG),
    ("{tune.loguniform: [1e-5, 1e-2]}", LOG),
    ("{randint: [1, 9]}", WHOLE),
    ("{lograndint: [1, 9]}", "{logint: [1, 8]}"),
    ("{quniform: [0, 1, 0.25]}", "{uniform: {low: 0, high: 1, step: 0.25}}"),
    ("{qrandint: [4, 16, 4]}", "{int: {low: 4, high: 16, step: 4}}"),
    ("{q_uniform: [0.0, 0.5, 0.1]}", "{uniform: {low: 0.0, high: 0.5, step: 0.1}}"),
    ("{grid_search: [a, b]}", "{choice: [a, b]}"),
    ("tune.choice([1, 2])", "{choice: [1, 2]}"),
    ("tune.loguniform(1e-5, 1e-2)", LOG),
    # Optuna
    ("{suggest_float: {low: 1e-5, high: 1e-2, log: true}}", LOG),
    ("{suggest_float: [0.1, 0.5]}", LINE),
    ("{suggest_int: [1, 8]}", WHOLE),
    ("{suggest_int: [1, 8, true]}", "{logint: [1, 8]}"),
    ("{suggest_categorical: [a, b]}", "{choice: [a, b]}"),
    ("{suggest_loguniform: [1e-5, 1e-2]}", LOG),
    ("{suggest_discrete_uniform: [0, 1, 0.5]}", "{uniform: {low: 0, high: 1, step: 0.5}}"),
    ("{low: 1e-5, high: 1e-2, log: true}", LOG),
    ("{low: 1, high: 9, step: 2}", "{int: {low: 1, high: 9, step: 2}}"),
    ("trial.suggest_float('lr', 1e-5, 1e-2, log=True)", LOG),
    # W&B
    ("{values: [1, 2]}", "{choice: [1, 2]}"),
    ("{value: 3}", "write the value alone, 3"),
    ("{min: 1, max: 8}", WHOLE),
    ("{min: 0.1, max: 0.5}", LINE),
    ("{distribution: uniform, min: 0.1, max: 0.5}", LINE),
    ("{distribution: int_uniform, min: 1, max: 8}", WHOLE),
    ("{distribution: log_uniform_values, min: 1e-5, max: 1e-2}", LOG),
    ("{distribution: log_uniform, min: -11.512925, max: -4.60517}", LOG),
    ("{distribution: q_log_uniform_values, q: 8, min: 1e-5, max: 1e-2}", LOG),
    ("{distribution: categorical, values: [a, b]}", "{choice: [a, b]}"),
    ("{distribution: constant, value: 3}", "write the value alone, 3"),
    ("{distribution: normal, mu: 1, sigma: 0.5}", "{uniform: [0.0, 2.0]}"),
    # Hydra
    ("interval(0.1, 0.5)", LINE),
    ("tag(log, interval(1e-5, 1e-2))", LOG),
    ("choice(16, 32)", "{choice: [16, 32]}"),
    ("choice(adamw, muon)", "{choice: [adamw, muon]}"),
    ("range(1, 9)", WHOLE),
    ("0.1,0.2", "{choice: [0.1, 0.2]}"),
    # Ax
    ("{type: range, bounds: [1e-5, 1e-2], log_scale: true}", LOG),
    ("{type: range, bounds: [1, 8], value_type: int}", WHOLE),
    ("{type: choice, values: [a, b]}", "{choice: [a, b]}"),
    ("{type: fixed, value: 3}", "write the value alone, 3"),
    # ConfigSpace
    ("{type: uniform_float, lower: 0.1, upper: 0.5}", LINE),
    ("{type: uniform_int, lower: 1, upper: 8, default_value: 2}", WHOLE),
    ("{UniformFloatHyperparameter: {lower: 1e-5, upper: 1e-2, log: true}}", LOG),
    ("{type: ordinal, sequence: [1, 2]}", "{choice: [1, 2]}"),
    # Hyperopt
    ("{hp.loguniform: [-11.512925, -4.60517]}", LOG),
    ("{hp.quniform: [0, 1, 0.25]}", "{uniform: {low: 0, high: 1, step: 0.25}}"),
    ("{hp.choice: [a, b]}", "{choice: [a, b]}"),
    ("hp.uniform('x', 0.1, 0.5)", LINE),
    # Nevergrad
    ("{Log: {lower: 1e-5, upper: 1e-2}}", LOG),
    ("{Scalar: {lower: 0.1, upper: 0.5}}", LINE),
    ("{TransitionChoice: [1, 2]}", "{choice: [1, 2]}"),
    # KerasTuner
    ("{Float: {min_value: 1e-5, max_value: 1e-2, sampling: log}}", LOG),
    ("{Int: {min_value: 1, max_value: 8}}", WHOLE),
    ("{Boolean: null}", "{choice: [false, true]}"),
    # Katib, NNI, Determined, skopt, Orion
    ("{parameterType: double, feasibleSpace: {min: '0.1', max: '0.5'}}", LINE),
    ("{_type: loguniform, _value: [1e-5, 1e-2]}", LOG),
    ("{_type: choice, _value: [a, b]}", "{choice: [a, b]}"),
    ("{type: log, base: 10, minval: -5, maxval: -2}", LOG),
    ("{type: int, minval: 1, maxval: 8}", WHOLE),
    ("{Real: {low: 1e-5, high: 1e-2, prior: log-uniform}}", LOG),
    ("loguniform(1e-5, 1e-2)", LOG),
    ("[1, 2]", "{choice: [1, 2]}"),
]


@pytest.mark.parametrize(("theirs", "ours"), WORDS)
def test_the_words_of_another_tool_are_said_in_ours(theirs: str, ours: str) -> None:
    said = in_our_words(parse_value(theirs))
    assert said is not None
    assert ours in said
    if "{" in ours:  # what is to be written is a range
        space = Space.parse({"model": {"key": parse_value(ours)}})
        assert list(space.parameters) == ["model.key"]


@pytest.mark.parametrize(
    "plain",
    [
        "{name: linear, start: 0.1, end: 1.0}", "{name: adamw, lr: 0.1}", "{at: 0.5}", "abc",
        "{length: 1, value: 2}", "{step: 2}", "3", "null", "[a]", "{default: 3}", "f(",
        "shuffle(1)", "{1: 2}", "{min: a, max: b}", "{}", "[]", "{low: {x: 1}, high: {x: 2}}",
        "runs/a(1)",
        "{type: sudoku, file: a}", "{randint: a}", "{uniform_int: {}}",
    ],
)  # fmt: skip
def test_what_is_no_range_to_any_tool_is_left_alone(plain: str) -> None:
    said = in_our_words(parse_value(plain))
    assert said is None or said == "write [low, high] or a list of options"


@pytest.mark.parametrize(
    ("path", "theirs", "line"),
    [
        (
            "optimizer.lr", {"log_uniform": [1e-4, 1e-2]},
            "optimizer.lr: {log_uniform: [0.0001, 0.01]} is no range here: write "
            "{loguniform: [0.0001, 0.01]} (words: uniform, loguniform, int, logint, choice)",
        ),
        ("model.H_cycles", {"type": "uniform", "min": 1, "max": 3}, "write {int: [1, 3]}"),
        ("optimizer", {"values": ["adamw", "adam_atan2"]}, "{choice: [adamw, adam_atan2]}"),
        ("optimizer", {"grid_search": [{"name": "adamw"}, {"name": "adam_atan2"}]}, "choice"),
        ("task.size", {"min": 4, "max": 6}, "write {int: [4, 6]}"),
        ("train.ema", "0.9,0.99", "write {choice: [0.9, 0.99]}"),
        ("curriculum.depth", {"values": ["none", "cgar"]}, "{choice: [none, cgar]}"),
        ("loss.halt_weight", [0.1, 0.5], "write {choice: [0.1, 0.5]}"),
        ("train.batch_size", {"choices": [64, 128]}, "write {choice: [64, 128]}"),
    ],
)  # fmt: skip
def test_the_line_names_the_key_and_what_to_write(path: str, theirs: Any, line: str) -> None:
    with pytest.raises(UserError) as caught:
        read_config({"task": {"name": "arrows"}}, [f"{path}={flow_yaml(theirs)}"])
    assert str(caught.value).startswith(f"{path}: ")
    assert line in str(caught.value)


def test_the_words_are_looked_for_below_options_too() -> None:
    options = [{"name": "adam_atan2"}, {"name": "adamw", "lr": {"min": 1e-4, "max": 1e-2}}]
    config = read_config({"task": "arrows", "optimizer": {"choice": options}})
    with pytest.raises(
        UserError, match=r"optimizer = adamw: .*write \{uniform: \[0.0001, 0.01\]\}"
    ):
        check_config(config)


def test_another_fault_keeps_its_own_line() -> None:
    tree = {"task": "arrows", "model": {"hidden_size": "wide"}, "train": {"batch_size": 8}}
    with pytest.raises(UserError, match="hidden_size: 'wide' must be a whole number"):
        read_config(tree)


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("task.box", [3, 99], "task.box: [3, 99] is not supported"),
        ("task.file", "a,b", "a,b: there is no such file"),
        ("train.device", "cuda,cpu", "'cuda,cpu' is no torch device"),
    ],
)
def test_a_list_or_text_where_one_may_stand_keeps_its_own_line(
    path: str, value: Any, line: str
) -> None:
    def used() -> None:
        config = read_config({"task": {"name": "sudoku"}}, [f"{path}={flow_yaml(value)}"]).default
        resolve(config.train)
        config.task.build(None)

    with pytest.raises(UserError) as caught:
        used()
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("section", "remedy"),
    [
        ("parameters", "write each range where its key stands"),
        ("method", "set search.sampler"),
        ("metric", "set search.objective"),
        ("early_terminate", "set search.scheduler"),
        ("hydra", "leave it out"),
        ("defaults", "leave it out"),
        ("num_samples", "set search.trials"),
    ],
)
def test_a_section_of_another_tool_says_what_does_its_work(section: str, remedy: str) -> None:
    with pytest.raises(UserError, match=f"{section}: unknown section: another tool's: {remedy}"):
        read_config({"task": "arrows", section: {}})


def test_a_hostile_text_is_only_read() -> None:
    for text in (
        "__import__('os').system('x')",
        "choice(" * 500 + ")" * 500,
        "f(\x00)",
        "a(" + "9" * 9000 + ")",
    ):
        assert read_foreign(text) is None or in_our_words(text) is None
