"""Draw a curriculum: every quantity that it drives over the run, and the compute that it saves.

CONFIG is a YAML file, a preset's name, or the folder of a `trm train`, whose reports are then
drawn over the plan. Values that a file leaves to a search are taken at their defaults.

Milestones are shares of the compute budget, not of the training steps: a shallow stage gets more
steps out of its share than a deep one. What an adaptive curriculum does is up to training: drawn
are the earliest that it may go and, where that differs, the latest.

  trm curriculum sudoku6
  trm curriculum arrows5 --set curriculum=cgar --out cgar.png
  trm curriculum runs/arrows5-train --out what-it-did.pdf
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.options import a_path
from trm.errors import UserError
from trm.files.paths import checked_path, write_output

if TYPE_CHECKING:
    from curricula.preview import Change, Preview
    from search.analysis.curriculum import CurriculumPlan
    from search.space.space import Space
    from trm.config import Experiment

FORMATS = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm curriculum`."""
    parser.add_argument(
        "config", help="a YAML file, a preset's name, or the run folder of a `trm train`"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="override one value, as in curriculum=cgar; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=a_path, metavar="FILE",
        help="draw a picture in this file: .png, .svg or .pdf (default: text)",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="print the path, the milestones and the sums as JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Walk through the run and show it; returns the exit code."""
    from search.analysis.curriculum import make_plan, read_run
    from search.analysis.curriculum_text import summary
    from search.config.config import read_config
    from search.logs.console import note, task_progress
    from trm.files.run_folder import cache_folder

    if args.out and args.out.suffix.lower() not in FORMATS:
        raise UserError("--out", str(args.out), f"must end in one of {', '.join(FORMATS)}")
    hints: list[str] = []
    reports: Sequence[Any] = ()
    config: Experiment
    if checked_path(args.config).is_dir():
        if args.sets:
            raise UserError("--set", args.sets[0], "cannot change what a run did: give its config")
        config, reports = read_run(Path(args.config))
    else:
        read = read_config(args.config, args.sets)
        space, config = read.space, read.default
        if space.searches:
            note(f"{len(space.parameters)} searched values are taken at their defaults")
        hints = list(_others(space))
    with task_progress() as progress:
        task = config.task.build(cache_folder(), progress)
        plan = make_plan(config, task, reports, progress)
    if args.out:
        _draw(plan, args.out)
    if args.json:
        print(json.dumps(_plan_json(plan), allow_nan=False))
    elif args.out:
        print("\n".join([*summary(plan), f"Drawn in {args.out}"]))
    else:
        _print(plan, hints)
    return 0


def _print(plan: CurriculumPlan, hints: Sequence[str]) -> None:
    from search.analysis.curriculum_text import BLOCKS, PLAIN_BLOCKS, plan_text

    blocks = BLOCKS
    try:
        blocks.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        blocks = PLAIN_BLOCKS
    print(plan_text(plan, shutil.get_terminal_size().columns, blocks))
    if hints:
        print("\nThe file searches its curriculum; the other options are drawn with")
        print("\n".join(f"  {hint}" for hint in hints))


def _draw(plan: CurriculumPlan, out: Path) -> None:
    from search.analysis.curriculum_picture import picture

    drawn = picture(plan, out.suffix.lower().removeprefix("."))
    write_output(out, drawn, "--out")


def _others(space: Space) -> Iterator[str]:
    """The settings that draw the options of the curriculum that are not the default."""
    from search.space.distributions import Choice

    for name, choice in space.parameters.items():
        keys = name.split(".")
        if keys[0] != "curriculum" or "[" in name or not isinstance(choice, Choice):
            continue
        for option in choice.options:
            if option == choice.first():
                continue
            value: Any = space.draw(
                lambda key, d, name=name, option=option: option if key == name else d.first()  # type: ignore[misc]
            )[1]
            for key in keys:
                value = value[key]
            if isinstance(value, dict) and list(value) == ["name"]:
                value = value["name"]
            text = value if isinstance(value, str) else json.dumps(value)
            yield shlex.join(["--set", f"{name}={text}"])


def _plan_json(plan: CurriculumPlan) -> dict[str, Any]:
    """The path with what is driven, what is constant, and the sums."""
    from search.analysis.curriculum import NUMBERS, numbers

    first = plan.path.points[0].stage
    return {
        "name": plan.config.name,
        "curriculum": plan.config.curriculum.name,
        "adaptive": plan.config.curriculum.is_adaptive,
        "driven": [
            *plan.driven,
            *(["difficulty"] if plan.drives_difficulty else []),
            *(["sources"] if plan.drives_sources else []),
        ],
        "constant": {
            key: numbers(plan, plan.path, key)[0] for key in NUMBERS if key not in plan.driven
        },
        "supervision_weights": list(first.supervision_weights),
        "last_step_only": first.last_step_only,
        "sources": list(plan.sources),
        **_way_json(plan, plan.path),
        "latest": _way_json(plan, plan.latest) if plan.latest else None,
        "reports": [dict(report) for report in plan.reports],
    }


def _way_json(plan: CurriculumPlan, path: Preview) -> dict[str, Any]:
    from search.analysis.curriculum import numbers

    columns = {key: numbers(plan, path, key) for key in plan.driven}
    points = []
    for index, point in enumerate(path.points):
        row: dict[str, Any] = {"progress": point.progress, "step": point.step + 1}
        row |= {key: values[index] for key, values in columns.items()}
        if plan.drives_difficulty:
            row["difficulty"] = _value_json("difficulty", point.stage.difficulty)
        if plan.drives_sources:
            row["sources"] = list(point.stage.sources)
        points.append(row)
    sums = ("steps", "compute", "full_steps", "full_compute", "saved")
    return {
        "summary": {key: getattr(path, key) for key in sums},
        "path": points,
        "milestones": [_change_json(change) for change in path.changes],
        "labels": [
            {
                "label": mark.label,
                "part": mark.part,
                "progress": mark.point.progress,
                "step": mark.point.step + 1,
            }
            for mark in path.landmarks
        ],
    }


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "quantity": change.quantity,
        "progress": change.first.progress,
        "step": change.first.step + 1,
        "until_progress": change.last.progress,
        "until_step": change.last.step + 1,
        "before": _value_json(change.quantity, change.before),
        "after": _value_json(change.quantity, change.after),
    }


def _value_json(quantity: str, value: Any) -> Any:
    return [part._asdict() for part in value] if quantity == "difficulty" else value
