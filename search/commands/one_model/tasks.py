"""List the tasks, preview the data that a config makes, write it, or check data of your own.

Without a config it lists every task; `trm keys task` has their settings. `check` says how a file
or folder of your own data is understood (columns, vocabulary, lengths, splits, duplicates,
examples) and everything that is wrong with it; keys of the task are set as in
--set task.separator=","; exit code 2 if anything is wrong. `export` writes the data of any task as
a folder of the reference repository, on which its `pretrain.py` trains, and which
`task: {name: data, file: DIR}` reads. `test` holds a task, also one of a plug-in, against all that
a task promises (splits without leaks, a verifier that refuses wrong answers, symmetries, display);
exit code 1 if a check fails. No config is called `check`, `export` or `test`: such a file is
`./check`.

  trm tasks                                     # every task in a line
  trm tasks arrows4 --show 2                    # sizes, difficulty, two examples
  trm tasks arrows4 --split train --write train.csv
  trm tasks check sorting.csv                   # how your own data is understood
  trm tasks export sudoku4 data/sudoku4         # in the reference's layout
  trm tasks test my_module:MyConfig --set task.size=4   # a task of your own
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from search.commands.one_model.task_suite import section_of, test
from search.commands.options import a_path, positive
from trm.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trm.tasks.base import Split, SplitName, Task, Tokens

BEYOND = "beyond"
"""What the command line calls the examples beyond the trained range."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm tasks`."""
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG|check|export|test",
        help="a YAML file or a preset's name (default: list the tasks); or check, export or test",
    )  # fmt: skip
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="of check FILE; of export CONFIG DIR; of test CONFIG, a task's name or MODULE:CLASS",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="override one value, as in task.seed=3; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=["train", "valid", "test", "beyond"], default="valid",
        help="which examples (default: valid); beyond are those beyond the trained range of "
        "difficulty, where a task has them",
    )  # fmt: skip
    parser.add_argument(
        "--show", type=positive, default=None, metavar="N",
        help="examples to show (default: 1; of check 3)",
    )  # fmt: skip
    parser.add_argument(
        "--copies", type=positive, default=None, metavar="N",
        help="of export: augmented images of each training example (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--write", type=a_path, metavar="FILE",
        help="write the split as CSV: input, label (tokens, space-separated), difficulty; "
        "source, if there are several",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """List, preview or write; returns the exit code."""
    if args.config is None:
        return _list()
    if args.config == "check":
        return _check(_operands(args, "FILE")[0], args.sets, args.show or 3)
    if args.config == "export":
        source, folder = _operands(args, "CONFIG", "DIR")
        return _export(source, folder, args.sets, args.copies or 0)
    if args.config == "test":
        return test(_operands(args, "TASK")[0], args.sets)
    if args.copies:
        raise UserError("--copies", args.copies, "is for `trm tasks export`")
    if args.paths:
        raise UserError("trm tasks", args.paths[0], "is one path too many: name one config")
    from search.config.config import read_config
    from search.logs.console import task_progress
    from trm.files.run_folder import cache_folder

    config = read_config(args.config, args.sets).default
    with task_progress() as progress:
        task = config.task.build(cache_folder(), progress)
    if args.split == BEYOND and task.beyond is None:
        raise UserError(
            "--split", BEYOND, f"names no examples of this {task.name}: its config has no beyond"
        )
    if args.write:
        _write(args.write, task, args.split)
        print(f"{len(_part(task, args.split)):,} {args.split} examples written to {args.write}")
    else:
        _preview(task, args.split, args.show or 1)
    return 0


def _operands(args: argparse.Namespace, *wanted: str) -> list[str]:
    if len(args.paths) != len(wanted):
        usage = " ".join(("trm tasks", args.config, *wanted))
        raise UserError(f"{usage}: {len(args.paths)} paths are given")
    return [*map(str, args.paths)]


def _check(file: str, sets: list[str], examples: int) -> int:
    from search.logs.console import task_progress
    from trm.tasks.data.checked import check
    from trm.tasks.data.task import DataConfig
    from trm.validation import validate

    config = validate(DataConfig, {"file": file, **section_of("data", sets)}, "task")
    with task_progress() as progress:
        lines, wrong, count = check(config, examples, progress)
    for line in lines:
        print(line)
    if not count:
        print("\nnothing is wrong")
        return 0
    print("" if lines else file)
    for line in wrong:
        print(f"wrong: {line}")
    more = f" (the first {len(wrong):,} are shown)" if count > len(wrong) else ""
    raise UserError(f"{file}: {count:,} things are wrong{more}: mend them")


def _export(source: str, folder: str, sets: list[str], copies: int) -> int:
    from search.config.config import read_config
    from search.logs.console import task_progress
    from trm.files.run_folder import cache_folder
    from trm.tasks.data.reference_export import export_folder

    config = read_config(source, sets).default
    target = a_path(folder)
    with task_progress() as progress:
        task = config.task.build(cache_folder(), progress)
        try:
            written = export_folder(task, target, copies=copies, progress=progress)
        except OSError as error:
            raise UserError("DIR", folder, f"cannot be written: {error.strerror}") from error
    counts = ", ".join(f"{count:,} {name}" for name, count in written.items())
    print(f"{counts} examples written to {folder}, in the reference's layout")
    return 0


def _list() -> int:
    from search.config.file import load_tree, presets
    from trm.tasks import TASKS

    made: dict[str, list[str]] = {}
    for preset in presets():
        section = load_tree(preset).get("task", {})
        made.setdefault(section["name"] if isinstance(section, dict) else section, []).append(
            preset
        )
    for name, kind in TASKS.items():
        shown = f"preset {', '.join(made[name])}" if name in made else "no preset"
        augment = kind.model_fields.get("augment")
        moved = kind.augmentation
        if augment is not None:
            moved = f"augmentation {'on' if augment.default else 'off'} by default"
        print(f"{name}: {(kind.__doc__ or '').strip().splitlines()[0]}")
        print(f"  {shown}; right by {kind.judged_by}; {moved}")
    print(
        "\n`trm keys 'task[NAME]'` shows its settings, `trm tasks CONFIG` the data of a config or"
    )
    print("preset, and `trm tasks test NAME` whether a task keeps what every task promises.")
    return 0


def _part(task: Task, name: str) -> Split:
    """A split by what the command line calls it."""
    if name == BEYOND:
        assert task.beyond is not None
        return task.beyond
    return task.split(cast("SplitName", name))


def _preview(task: Task, chosen: str, examples: int) -> None:
    rows, columns = task.grid_shape
    print(f"{task.name}: {rows} x {columns} cells, {task.vocab_size} tokens, {task.data_hash[:12]}")
    names: tuple[SplitName, ...] = ("train", "valid", "test")
    width = max(map(len, task.sources), default=0)
    begin = len(BEYOND) if task.beyond is not None else len("train")
    for name in names:
        split, source = task.split(name), task.source_of(name)
        if not task.sources:
            print(f"  {name:<{begin}} {_summary(task, split.inputs, split.difficulty)}")
        for index, label in enumerate(task.sources):
            here = source == index
            summary = _summary(task, split.inputs[here], split.difficulty[here])
            print(f"  {name:<{begin}} {label:<{width}} {summary}")
    if task.beyond is not None:
        print(f"  {BEYOND} {_summary(task, task.beyond.inputs, task.beyond.difficulty)}")
    for name in names:
        if (kept := task.kept_back(name)) is not None:
            print(f"  {name:<{begin}} {len(kept):>9,} more, whose answers are kept back")
    split = _part(task, chosen)
    for index, label in enumerate(_labels(task, chosen)[:examples]):
        source_label = f"  {label}" if label else ""
        print(f"\n{chosen}:{index}{source_label}  difficulty {split.difficulty[index]:.2f}")
        print(task.show(split.inputs[index]))
        print()
        print(task.show(split.labels[index], split.inputs[index]))


def _summary(task: Task, inputs: Tokens, difficulty: NDArray[np.float32]) -> str:
    import numpy as np

    low, middle, high = np.quantile(difficulty, [0.0, 0.5, 1.0])
    blanks = task.unknown(inputs[:1000]).sum(axis=1).mean()
    return (
        f"{len(inputs):>9,} examples  difficulty {low:.1f} / {middle:.1f} / "
        f"{high:.1f} (least, median, most)  {blanks:.1f} unknown cells"
    )


def _labels(task: Task, name: str) -> list[str]:
    """Each example's source, empty where the task has no several."""
    if not task.sources:
        return [""] * len(_part(task, name))
    return [task.sources[index] for index in task.source_of(cast("SplitName", name))]


def _write(path: Path, task: Task, name: str) -> None:
    from trm.tasks.token_file import write_split

    try:
        sources = _labels(task, name) if task.sources else None
        write_split(path, _part(task, name), sources, task.written)
    except OSError as error:
        raise UserError("--write", str(path), f"cannot be written: {error.strerror}") from error
