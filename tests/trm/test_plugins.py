from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Tiny
from tests.support.plugin_folder import install, working_in
from trm.config import load_experiment
from trm.errors import UserError
from trm.plugins import code_hashes, import_plugins
from trm.provenance import changed_plugins, plugin_provenance, provenance

PLUGIN = """
from typing import Literal
from trm.tasks import TASKS
from trm.tasks.arrows import ArrowsConfig
class MyTask(ArrowsConfig):
    name: Literal["mine"] = "mine"
    colour: Literal["red", "blue"] = "red"
TASKS["mine"] = MyTask
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with working_in(tmp_path, monkeypatch) as folder:
        yield folder


def refused(*names: str) -> str:
    with pytest.raises(UserError) as error:
        import_plugins(names)
    text = str(error.value)
    assert "\n" not in text
    return text


# --- modules by name ---------------------------------------------------------------------------


def test_a_plugin_in_the_working_directory_registers_a_task(folder: Path, tiny: Tiny) -> None:
    (folder / "my_tasks_of_test.py").write_text(PLUGIN)
    changes = {"plugins": ["my_tasks_of_test"], "task.name": "mine"}
    config = load_experiment(tiny({**changes, "task.colour": "blue"}))
    assert config.task.name == "mine"
    assert config.tree()["task"]["colour"] == "blue"
    for key, value, words in [
        ("task.colour", "bleu", "task.colour: 'bleu' is unknown: use red or blue"),
        ("task.color", "red", "task.color: unknown key"),
    ]:
        with pytest.raises(UserError, match="^" + words.replace("?", r"\?")):
            load_experiment(tiny({**changes, key: value}))


def test_the_users_folders_come_last_and_shadow_nothing(folder: Path) -> None:
    beside = folder / "configs"
    (beside / "cluster").mkdir(parents=True)
    (beside / "my_plugin_of_test.py").write_text("")
    (folder / "my_tasks_of_test.py").write_text(PLUGIN)
    for name in ("search.py", "trm.py", "json.py", "curricula.py"):
        (folder / name).write_text("raise RuntimeError('shadowed')")
        (beside / name).write_text("raise RuntimeError('shadowed')")
    for _ in range(2):
        import_plugins(["my_tasks_of_test", "my_plugin_of_test"], [beside])
        assert sys.path[-2:] == [str(folder), str(beside)]
    assert [*map(sys.path.count, (str(folder), str(beside)))] == [1, 1]


@pytest.mark.parametrize(
    "markers", [("sweep.yaml", "run.json"), ("config.yaml", "reports.jsonl"), ("checkpoint.json",)]
)
def test_nothing_is_imported_from_a_run_folder(
    markers: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, beside = folder / "run_of_test", folder / "configs"
    for place in (run, run / "deep", beside):
        place.mkdir()
        (place / f"plugin_of_{place.name[:3]}.py").write_text("")
    for marker in markers:
        (run / marker).write_text("{}")
    before = list(sys.path)
    monkeypatch.chdir(run)
    import_plugins(["plugin_of_con"], [run, beside, run / "deep"])
    assert sys.path == [*before, str(beside)]
    for name in ("plugin_of_run", "plugin_of_dee"):
        with pytest.raises(UserError, match="no plug-in is looked for in a run folder") as error:
            import_plugins([name], [run / "deep", beside])
        assert str(run) in str(error.value)
    # From beside it, a run folder is as good as a package.
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=f"lies in the run folder {run}, which may be"):
        import_plugins(["run_of_test.plugin_of_run"])
    assert "run_of_test.plugin_of_run" not in sys.modules


@pytest.mark.parametrize("checkpoint", ["checkpoints/000000020-0002", "checkpoints/0/1/2"])
def test_checkpoints_alone_make_a_run_folder(checkpoint: str, folder: Path) -> None:
    # `trm eval` takes a folder that holds nothing else, so a stranger may send such a one.
    run = folder / "sent_of_test"
    (run / checkpoint).mkdir(parents=True)
    (run / checkpoint / "checkpoint.json").write_text("{}")
    (run / "plugin_of_sender.py").write_text("")
    with pytest.raises(UserError, match=f"lies in the run folder {run}, which may be"):
        import_plugins(["sent_of_test.plugin_of_sender"])
    assert "sent_of_test.plugin_of_sender" not in sys.modules


def test_a_link_into_a_run_folder_lies_in_it(folder: Path) -> None:
    run = folder / "run_of_test"
    (run / "deep").mkdir(parents=True)
    (run / "checkpoint.json").write_text("{}")
    (run / "deep" / "plugin_behind_link.py").write_text("")
    (folder / "link_of_test").symlink_to(run / "deep")
    (folder / "linked_plugin_of_test.py").symlink_to(run / "deep" / "plugin_behind_link.py")
    for name in ("link_of_test.plugin_behind_link", "linked_plugin_of_test"):
        with pytest.raises(UserError, match=f"lies in the run folder {run}, which may be"):
            import_plugins([name])
        assert name not in sys.modules
    with pytest.raises(UserError, match="no plug-in is looked for in a run folder"):
        import_plugins(["plugin_behind_link"], [folder / "link_of_test"])
    assert str(folder / "link_of_test") not in sys.path


def test_another_configs_plugin_of_the_same_name_is_no_stand_in(folder: Path) -> None:
    # A notebook reads two configs: the second trained with the first one's code, without a word.
    first, second, third = (folder / name for name in ("first", "second", "third"))
    for place in (first, second, third):
        place.mkdir()
        (place / "late_plugin_of_test.py").write_text(f"WHERE = {place.name!r}")
    for place in (first, second):
        (place / "plugin_of_two_tests.py").write_text("")
    import_plugins(["plugin_of_two_tests"], [first])
    import_plugins(["plugin_of_two_tests"], [first])
    import_plugins(["plugin_of_two_tests"], [third])  # which has none: a run of the first is loaded
    with pytest.raises(UserError) as error:
        import_plugins(["plugin_of_two_tests"], [second])
    assert str(error.value) == (
        f"plugins: 'plugin_of_two_tests' is {second / 'plugin_of_two_tests.py'} here, but this "
        f"process has imported {first / 'plugin_of_two_tests.py'} under that name: rename one of "
        "them, or use another process"
    )
    # What is not imported yet comes from the config's own folder, whatever was read before.
    import_plugins(["late_plugin_of_test"], [third])
    assert sys.modules["late_plugin_of_test"].WHERE == "third"


@pytest.mark.parametrize("name", ["arrows", "sudoku"])
def test_a_plugin_takes_no_name_that_is_there(name: str, folder: Path, tiny: Tiny) -> None:
    # It trained, and then `export` refused its keys and `report` took the run for one of ours.
    code = PLUGIN.replace("mine", name)
    (folder / "taking_plugin_of_test.py").write_text(code)
    changes = {"plugins": ["taking_plugin_of_test"]}
    for _ in range(2):
        with pytest.raises(UserError) as error:
            load_experiment(tiny(changes))
        assert str(error.value) == (
            "plugins: 'taking_plugin_of_test' cannot be imported: ValueError: replaces what is "
            f"called {name!r}: give its own another name"
        )
    assert type(load_experiment(tiny()).task).__name__ == "ArrowsConfig"
    # A module that broke half way is mended and imported again.
    (folder / "mended_plugin_of_test.py").write_text(PLUGIN + "raise RuntimeError")
    changes = {"plugins": ["mended_plugin_of_test"], "task.name": "mine"}
    with pytest.raises(UserError, match="RuntimeError"):
        load_experiment(tiny(changes))
    (folder / "mended_plugin_of_test.py").write_text(PLUGIN)
    assert load_experiment(tiny(changes)).task.name == "mine"


def test_without_plugins_nothing_of_the_users_is_on_the_path(folder: Path) -> None:
    before = list(sys.path)
    import_plugins([], [folder])
    assert sys.path == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "ModuleNotFoundError"),
        ("def broken(:\n", "SyntaxError"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named(
    code: str | None, words: str, folder: Path
) -> None:
    if code is not None:
        (folder / "broken_plugin_of_test.py").write_text(code)
    text = refused("broken_plugin_of_test")
    assert text.startswith("plugins: 'broken_plugin_of_test' cannot be imported: ")
    assert words in text


def test_a_relative_plugin_is_refused() -> None:
    assert refused(".x").startswith("plugins: '.x' cannot be imported: ")


# --- entry points ------------------------------------------------------------------------------

SHOW = """
import sys
from trm.errors import UserError
from trm.plugins import code_hashes, import_plugins
try:
    import_plugins([]), import_plugins([])
    print(*code_hashes([]))
except UserError as error:
    print(error)
"""


def shown(site: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), str(site)])}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, timeout=60
    )
    assert not done.stderr
    return done.stdout.strip()


def test_an_installed_package_is_a_plugin_and_imported_once(tmp_path: Path) -> None:
    install(tmp_path, "their-tasks", {"tasks": "their_tasks_of_test.tasks"})
    package = tmp_path / "their_tasks_of_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tasks.py").write_text("print('imported', __name__)")
    assert shown(tmp_path).splitlines() == [
        "imported their_tasks_of_test.tasks", "their_tasks_of_test.tasks"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("their_broken_tasks", "RuntimeError: old"),
        ("their_broken_tasks_too:mine", "AttributeError"),
        ("no_such_module_at_all", "ModuleNotFoundError"),
    ],
)
def test_a_broken_entry_point_is_named_with_its_package(
    value: str, words: str, tmp_path: Path
) -> None:
    install(tmp_path, "their-tasks", {"tasks": value})
    (tmp_path / "their_broken_tasks.py").write_text("raise RuntimeError('old')")
    (tmp_path / "their_broken_tasks_too.py").write_text("")
    (text,) = shown(tmp_path).splitlines()
    assert text.startswith(
        f"entry point 'tasks' (group trm.plugins) of the package their-tasks 1.0: {value} "
        "cannot be imported: "
    )
    assert words in text
    assert text.endswith(": mend or uninstall the package")


# --- code --------------------------------------------------------------------------------------


def test_the_hash_is_of_the_code_that_runs(folder: Path) -> None:
    file = folder / "hashed_plugin_of_test.py"
    file.write_text("A = 1")
    name = file.stem
    assert code_hashes([name]) == {}
    import_plugins([name])
    first = code_hashes([name])
    file.write_text("A = 2")
    import_plugins([name])
    assert code_hashes([name]) == first
    del sys.modules[name]
    sys.path_importer_cache.clear()
    import_plugins([name])
    second = code_hashes([name])
    assert second.keys() == first.keys() == {name}
    assert second != first


def test_a_package_counts_whole_and_what_is_no_code_does_not(folder: Path) -> None:
    package = folder / "hashed_package_of_test"
    (package / "deep").mkdir(parents=True)
    for path in ("__init__.py", "tasks.py", "rules.py", "deep/__init__.py", "deep/grid.py"):
        (package / path).write_text(f"A = {len(path)}")
    name = f"{package.name}.tasks"

    def hashed() -> str:
        for module in [module for module in sys.modules if module.startswith(package.name)]:
            del sys.modules[module]
        import_plugins([name])
        return code_hashes([name])[name]

    first = hashed()
    (package / "notes.txt").write_text("x")
    assert hashed() == first
    (package / "deep" / "grid.py").write_text("A = 0")
    second = hashed()
    assert second != first
    (package / "deep" / "grid.py").rename(package / "deep" / "girds.py")
    assert hashed() not in (first, second)


def test_provenance_names_each_plugins_code(folder: Path) -> None:
    (folder / "traced_plugin_of_test.py").write_text("")
    import_plugins(["traced_plugin_of_test"])
    now = plugin_provenance(["traced_plugin_of_test"])
    assert list(now) == ["plugin traced_plugin_of_test"]
    assert now.items() <= provenance(["traced_plugin_of_test"]).items()
    assert not now.items() & provenance().items()
    assert changed_plugins(now, now) == []
    assert changed_plugins({**now, "torch": "1"}, {**now, "torch": "2"}) == []
    old = dict.fromkeys(now, "another")
    assert changed_plugins(old, now) == ["traced_plugin_of_test"]
    assert changed_plugins({}, now) == changed_plugins(old, {}) == []
