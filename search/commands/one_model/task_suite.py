"""`trm tasks test`: one task against everything that a task promises, a line each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm.errors import UserError

if TYPE_CHECKING:
    from trm.tasks.base import TaskConfig


def test(target: str, sets: list[str]) -> int:
    """Try a task and print what each check finds; returns the exit code, 1 if any fails.

    Args:
        target: a config file, a preset, a task's name, or MODULE:CLASS of a plug-in's config.
        sets: `task.KEY=VALUE` each.

    Raises:
        UserError: there is no such task, or its section is no good.
    """
    from search.logs.console import task_progress
    from trm.testing.tasks import CheckResult, examined

    config = _config(target, sets)
    findings: list[CheckResult] = []
    with task_progress() as progress:
        for finding in examined(config, progress):
            findings.append(finding)
            verdict, words = ("FAILED", finding.fault) if finding.fault else ("ok", finding.promise)
            print(f"  {verdict:<6}  {finding.check:<12}  {words}", flush=True)
    failed = sum(finding.fault is not None for finding in findings)
    print(f"{config.name}: {len(findings) - failed} of {len(findings)} checks hold")
    return 1 if failed else 0


def section_of(name: str, sets: list[str]) -> dict[str, Any]:
    """A task's section with what is set of it.

    Raises:
        UserError: it is no `task.KEY=VALUE`.
    """
    from trm.files.yaml12 import parse_value

    section: dict[str, Any] = {"name": name}
    for setting in sets:  # not by the config's reader, which loads torch
        key, equals, text = setting.partition("=")
        if not equals or not key.startswith("task."):
            raise UserError("--set", setting, "must be task.KEY=VALUE, as in task.grid=[9,9]")
        section[key.removeprefix("task.")] = parse_value(text, f"--set {key}")
    return section


def _config(target: str, sets: list[str]) -> TaskConfig:
    from search.config.config import read_config
    from search.config.file import presets
    from trm.plugins import import_plugins
    from trm.tasks import TASKS
    from trm.validation import validate

    module, colon, name = target.partition(":")
    if colon and not Path(target).exists():
        kind = _class(module, name)
        return validate(kind, section_of(str(kind.model_fields["name"].default), sets), "task")
    import_plugins([])
    if target in TASKS and target not in presets() and not Path(target).exists():
        return validate(TASKS[target], section_of(target, sets), "task")
    return read_config(target, sets).default.task


def _class(module: str, name: str) -> type[TaskConfig]:
    import sys

    from trm.plugins import import_plugins
    from trm.tasks.base import TaskConfig

    import_plugins([module])
    kinds = {
        key: value
        for key, value in vars(sys.modules[module]).items()
        if isinstance(value, type) and issubclass(value, TaskConfig) and value is not TaskConfig
    }
    where = f"{module}:{name}"
    if name not in kinds:
        some = f"it has {', '.join(kinds)}" if kinds else "write one, as `trm guide plugins` shows"
        raise UserError("trm tasks test", where, f"is no TaskConfig of the module: {some}")
    if kinds[name].model_fields["name"].is_required():
        remedy = "has no name of its own: add `name: Literal['mine'] = 'mine'`"
        raise UserError("trm tasks test", where, remedy)
    return kinds[name]
