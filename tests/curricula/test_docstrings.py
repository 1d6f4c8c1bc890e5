"""The examples in docstrings run and are right."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import curricula
import trm

MODULES = [
    name
    for package in (curricula, trm)
    for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
