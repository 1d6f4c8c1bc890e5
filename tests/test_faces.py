"""What the packages offer by name: found lazily, documented, and with examples that run."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

FACES = ("trm", "curricula", "cluster", "search")
HEAVY = {"torch", "numpy", "pydantic", "yaml", "ray", "safetensors", "asyncio"}
NAMES = [(face, name) for face in FACES for name in importlib.import_module(face).__all__]


@pytest.mark.parametrize("face", FACES)
def test_importing_a_face_imports_nothing_else(face: str) -> None:
    code = f"import {face}, sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert face in loaded
    ours = [name for name in loaded if name.split(".")[0] in FACES]
    assert ours == [face]
    assert HEAVY.isdisjoint(loaded)


@pytest.mark.parametrize("face", FACES)
def test_the_three_lists_of_a_face_agree(face: str) -> None:
    module = importlib.import_module(face)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text())
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == module._HOMES
    assert list(module._HOMES) == module.__all__
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize(("face", "name"), NAMES)
def test_a_public_name_is_there_and_documented_with_an_example(face: str, name: str) -> None:
    module = importlib.import_module(face)
    home = importlib.import_module(module._HOMES[name])
    value = getattr(home, name)
    if (face, name) == ("search", "sweep"):
        assert getattr(module, name) is sys.modules["search.sweep"], "a room that takes the call"
    else:
        assert getattr(module, name) is value
    told = inspect.isclass(value) or callable(value)
    text = inspect.getdoc(value) if told else inspect.getdoc(home)
    assert text
    # Whoever joins a cluster starts processes: too much for an example in a docstring.
    assert ">>>" in text or name == "connected"
    if not told:
        assert name in text


@pytest.mark.parametrize("face", FACES)
def test_a_name_that_is_not_there_is_no_attribute(face: str) -> None:
    module = importlib.import_module(face)
    with pytest.raises(AttributeError, match=f"module '{face}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018
    assert not hasattr(module, "__path_of_nothing__")
