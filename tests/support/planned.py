"""Configs and plans of small trees, as commands make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.config.checks import check_config
from search.config.config import Config, config_from, read_config
from search.config.plan import Plan
from search.config.resolve import replan, resolve_plan

SIXTY: dict[str, Any] = {
    "name": "sixty",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "L_cycles": {"int": [1, 60]}},
    "train": {"budget": {"steps": 10}},
}  # fmt: skip
"""One setting of sixty values."""


def checked(tree: Mapping[str, Any]) -> Config:
    """The config of a tree that a sweep takes."""
    config = read_config(tree)
    check_config(config)
    return config


def planned(tree: Mapping[str, Any]) -> Plan:
    """The plan that a sweep makes of a tree."""
    config = read_config(tree)
    return resolve_plan(config, config.default.task.build())


def replanned(plan: Plan, tree: Mapping[str, Any]) -> Plan:
    """A run's plan on resume with these sections in its file."""
    return replan(plan, config_from({**plan.tree, **tree}))
