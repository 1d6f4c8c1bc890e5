from __future__ import annotations

from typing import Any

import pytest

from search.config.config import read_config
from search.config.file import load_tree
from search.config.logs import LogConfig
from search.config.resolve import refuse_changes, replan
from search.config.sections import sweep_sections
from tests.support.planned import planned
from trm.errors import UserError


def test_a_bare_word_is_the_mode_and_nothing_is_on_unasked() -> None:
    assert sweep_sections({}).log == LogConfig()
    assert (LogConfig().wandb.mode, LogConfig().tensorboard) == ("off", False)
    word = sweep_sections({"log": {"wandb": "offline", "tensorboard": True}}).log
    section = sweep_sections({"log": {"wandb": {"mode": "offline"}, "tensorboard": True}}).log
    assert word == section
    assert (word.wandb.mode, word.wandb.project, word.tensorboard) == (
        "offline",
        "trm-search",
        True,
    )


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ({"wandb": "ofline"}, "log.wandb.mode: 'ofline' is unknown: use off, online or offline"),
        ({"wandb": True}, "log.wandb: true must be a section, with keys such as mode"),
        ({"wandb": {"projekt": "a"}}, "log.wandb.projekt: unknown key: did you mean project?"),
        ({"wandb": {"project": "a/b"}}, "log.wandb.project: 'a/b' must hold none of / "),
        ({"wandb": {"tags": [""]}}, "log.wandb.tags[0]: '' must not be empty"),
        ({"tensorboard": "yes"}, "log.tensorboard: 'yes' must be true or false"),
        ({"mlflow": "on"}, "log.mlflow: unknown key: known: sinks, tensorboard, wandb"),
        ("offline", "log: 'offline' must be a section, with keys such as wandb, tensorboard"),
    ],
)
def test_bad_sections_are_one_line(log: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        sweep_sections({"log": log})
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_a_resumed_run_may_be_logged_elsewhere() -> None:
    plan = planned(load_tree("arrows4", ["log.tensorboard=true"]))
    changed = read_config("arrows4", ["log.wandb=offline"])
    refuse_changes(plan, changed.tree)
    assert replan(plan, changed).sections.log == LogConfig(wandb="offline")  # type: ignore[arg-type]
    assert replan(plan, read_config("arrows4")).sections.log.tensorboard, "kept where not given"
