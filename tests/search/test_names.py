"""One name, one thing: of classes, of folders, and of the places where tests lie."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.folders import ROOT

PACKAGES = ("trm", "search", "curricula", "cluster")
WIDEST = 20
"""Modules of a folder, so that one look takes them in."""
WIDER = {"search/report"}
"""One module a section of the page, in the page's order."""
CHANGES = {"append", "insert", "extend", "remove", "pop", "clear"}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def test_no_two_public_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in (path for package in PACKAGES for path in modules(package)):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert len(homes) > 200
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_holds_more_modules_than_one_look_takes_in(package: str) -> None:
    counts: dict[str, int] = defaultdict(int)
    for path in modules(package):
        counts[str(path.parent.relative_to(ROOT))] += path.name != "__init__.py"
    assert package in counts
    assert {f: n for f, n in counts.items() if n > WIDEST and f not in WIDER} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_lie_as_the_code_does(package: str) -> None:
    here = ROOT / "tests" / package
    folders = {path.parent.relative_to(here) for path in here.rglob("test_*.py")}
    assert folders
    assert [folder for folder in folders if not (ROOT / package / folder).is_dir()] == []


def is_path(node: ast.AST) -> bool:
    """Whether it reads `sys.path`."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "path"
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
    )


def changes(tree: ast.Module) -> Iterator[int]:
    """Lines on which `sys.path` is changed."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)):
            alone = isinstance(node, (ast.AugAssign, ast.AnnAssign))
            for target in [node.target] if alone else node.targets:
                if is_path(target.value if isinstance(target, ast.Subscript) else target):
                    yield node.lineno
        elif isinstance(node, ast.Attribute) and node.attr in CHANGES and is_path(node.value):
            yield node.lineno


@pytest.mark.parametrize(
    "text",
    ["sys.path.append('x')", "sys.path[:] = []", "sys.path += ['x']", "sys.path = []",
     "del sys.path[0]", "f = sys.path.insert"],
)  # fmt: skip
def test_a_changed_path_is_seen(text: str) -> None:
    assert list(changes(ast.parse(text))) == [1]


def test_tests_find_what_they_import_without_a_changed_path() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in modules("tests")
        for line in changes(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []
