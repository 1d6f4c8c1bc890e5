"""Write a first config: for data of your own, or the text of a preset.

For a file or folder of data it is commented, with a model, a budget and a space that fit the data
and this machine, on which a few steps are timed. It goes to the screen, to be sent into a file.

  trm init sorting.csv > my.yaml                # then: trm sweep my.yaml
  trm init grids.jsonl --set task.grid=[9,9] > my.yaml
  trm init --list                               # the presets
  trm init arrows4 > my.yaml                    # a preset, to be changed
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from itertools import takewhile
from pathlib import Path
from typing import Any

from trm.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm init`."""
    parser.add_argument("source", nargs="?", help="a file or folder of data, or a preset's name")
    parser.add_argument("--list", action="store_true", help="list the presets")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="a key of the task, as in task.grid=[9,9]; may be repeated",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print a config or the list; returns the exit code."""
    from search.config.file import presets
    from search.logs.parameters import terminal_width

    known = presets()
    if args.list:
        width = max(map(len, known))
        for name, path in known.items():
            print(f"{name:<{width}}  {_meaning(path, terminal_width() - width - 2)}")
        return 0
    if args.source is None:
        raise UserError("trm init: names no data and no preset: give a file, a preset, or --list")
    if args.source in known and not Path(args.source).is_file():
        if args.sets:
            raise UserError("--set", args.sets[0], "is for data: change the preset's text instead")
        print(known[args.source].read_text(encoding="utf-8"), end="")
        return 0
    if Path(args.source).suffix in (".yaml", ".yml"):
        raise UserError("trm init", args.source, "is a config already: give data, or --list")
    print(_for_data(args.source, args.sets), end="")
    return 0


def _meaning(path: Path, width: int) -> str:
    """The first sentence of a preset's comment, as far as it fits."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[1:].strip() for line in takewhile(_is_comment, lines))
    sentence = re.split(r"(?<=[.?])\s", comment, maxsplit=1)[0]
    return textwrap.shorten(sentence, width, placeholder=" ...")


def _is_comment(line: str) -> bool:
    return line.startswith("#")


def _for_data(file: str, sets: list[str]) -> str:
    from search.commands.start.first_config import first_config, first_sizes, timed_sizes
    from search.config.config import read_config
    from search.config.file import prepared_tree
    from search.logs.console import task_progress
    from search.sweep.dry_run import dry_run
    from trm.files.run_folder import cache_folder
    from trm.files.yaml12 import parse_yaml
    from trm.tasks.data import DataConfig, DataTask
    from trm.validation import validate

    section: dict[str, Any] = {"name": "data", "file": file}
    tree = prepared_tree({"task": section}, sets)
    for key in tree:
        if key != "task":
            raise UserError("--set", key, "is no key of the task: change the config's text instead")
    section = {**tree["task"], "file": file}
    config = validate(DataConfig, tree["task"], "task")
    with task_progress() as progress:
        task = config.build(cache_folder(), progress)
    assert isinstance(task, DataTask), task
    gpu = _has_gpu()
    name = re.sub(r"[^\w-]+", "-", Path(file).stem).strip("-") or "data"
    sizes = first_sizes(task, gpu)
    if sys.stderr.isatty():
        print("timing a few steps ...", file=sys.stderr)

    def cost(text: str) -> tuple[float, float]:
        found = dry_run(read_config(parse_yaml(text, "config")), build=lambda _: task).estimate
        assert found is not None
        return found.seconds_per_trial, found.total.seconds

    seconds, whole = cost(first_config(section, name, task, sizes, ""))
    chosen = timed_sizes(sizes, task, seconds, gpu)
    factor = chosen.steps / sizes.steps
    words = (
        f"# On this machine a trial takes about {_duration(seconds * factor)}, the sweep with its\n"
        f"# confirmation about {_duration(whole * factor)}; `trm sweep FILE --dry-run` times it "
        "again.\n"
    )
    return first_config(section, name, task, chosen, words)


def _has_gpu() -> bool:
    from trm.device import resolve
    from trm.train_config import TrainConfig

    return not resolve(TrainConfig()).device.startswith("cpu")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
