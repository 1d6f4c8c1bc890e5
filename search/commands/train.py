"""Train one model from a config file or preset.

Values that the file leaves to a search are taken at their defaults. The run folder holds
`config.yaml` (every value written out), `reports.jsonl` (the learning curve) and `checkpoints/`.

Ctrl-C stops between two steps and saves; the command that resumes is printed. The exit code is 1
when training diverges (a non-finite loss or gradient) or has collapsed at its end. What the failure
detectors found is printed in words; `trm diagnose DIR` says it again.

  trm train sudoku4
  trm train best.yaml --set train.seed=7 --out runs/seed7
  trm train best.yaml --set train.seed=7 --out runs/seed7 --resume
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm.config import Experiment
    from trm.tasks.base import Task
    from trm.training.trainer import Trainer

KEPT_CHECKPOINTS = 2
CHECKPOINT_SECONDS = 600.0
"""A checkpoint at least so often, however far apart the reports are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm train`."""
    parser.add_argument("config", help="a YAML file or a preset's name")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="override one value, as in train.seed=3; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: runs/NAME-train)"
    )
    parser.add_argument(
        "--resume", action="store_true",
        help="go on with the run in --out where it stands, or begin it; needs the same config",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print each report as a line of JSON")


def run(args: argparse.Namespace) -> int:
    """Train, report, checkpoint; returns the exit code."""
    from search.config.file import load_tree
    from search.ledger.lock import FileLock
    from search.logs.console import note, task_progress
    from search.space.space import Space
    from trm.config import experiment_from
    from trm.run_folder import LOCK, cache_folder, create_folder

    tree = load_tree(args.config, args.sets)
    space = Space.parse(tree)
    config = experiment_from(space.default()[1])
    if space.searches:
        note(f"{len(space.parameters)} searched values are taken at their defaults")
    if "log" in tree:
        note("the log section is for sweeps alone; the curve is in reports.jsonl")
    out: Path = args.out or Path("runs") / f"{config.name}-train"
    create_folder(out, "config.yaml", resume=args.resume)
    with ExitStack() as stack:
        stack.callback(FileLock(out / LOCK).release)
        try:
            with task_progress() as progress:
                task = config.task.build(cache_folder(), progress)
            trainer = _begin(config, task, out, args.resume)
            finished = _train(trainer, out, args.json)
            where = f" at step {trainer.counters.step}"
        except KeyboardInterrupt:
            finished, where = False, ""
    if not finished:
        sets = [word for setting in args.sets for word in ("--set", setting)]
        again = shlex.join(["trm", "train", args.config, *sets, "--out", str(out), "--resume"])
        print(f"trm: interrupted{where}; resume with: {again}", file=sys.stderr)
        return 130
    return _conclude(trainer, out, args.json)


def _begin(config: Experiment, task: Task, out: Path, again: bool) -> Trainer:
    """A new run, or the one in the folder where it stands."""
    from search.logs.console import note, warn
    from trm.checkpoint import read_head, require_same_config, resume
    from trm.config import experiment_from
    from trm.provenance import changed_plugins, plugin_provenance
    from trm.run_folder import latest_checkpoint
    from trm.training.trainer import Trainer
    from trm.yaml12 import dump_yaml, read_yaml

    recorded = out / "config.yaml"
    if recorded.exists():
        require_same_config(recorded, experiment_from(read_yaml(recorded)), config)
    start = latest_checkpoint(out) if again else None
    if start is not None:
        trainer = resume(start, task)
        before = read_head(start).provenance
        for name in changed_plugins(before, plugin_provenance(config.plugins)):
            warn(f"plug-in {name}: the run was begun with other code of it; it goes on with this")
        note(f"going on from step {trainer.counters.step}")
    else:
        trainer = Trainer(config, task)
        _write(recorded, dump_yaml(config.tree()))
    # Reports past the checkpoint are made again; they must not stand twice.
    rows = [row for row in _rows(out) if row["mark"] <= trainer.counters.mark]
    _write(out / "reports.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for partial in (out / "checkpoints").glob(".*"):
        shutil.rmtree(partial, ignore_errors=True)
    return trainer


def _train(trainer: Trainer, out: Path, json_lines: bool) -> bool:
    """Train to the end, or until a signal asks to stop; returns whether it is the end."""
    from search.logs.console import TrainDisplay, report_json
    from trm.provenance import provenance

    origin = provenance(trainer.config.plugins)
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        _checkpoint(out, trainer, origin)
        saved = time.monotonic()

    with (
        _stop_request() as stop,
        (out / "reports.jsonl").open("a", encoding="utf-8") as curve,
        TrainDisplay(trainer.config.name, trainer.budget, json_lines=json_lines) as display,
    ):

        def between_steps() -> bool:
            display.moved(trainer.progress)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                save()
            return stop()

        for report in trainer.run(between_steps):
            curve.write(report_json(report) + "\n")
            curve.flush()
            os.fsync(curve.fileno())
            save()
            display.show(report)
        if not trainer.finished:
            save()
    return trainer.finished


def _checkpoint(out: Path, trainer: Trainer, origin: dict[str, str]) -> None:
    from trm.checkpoint import save_checkpoint

    counters = trainer.counters
    # With the mark: a run stopped right at a mark has a checkpoint before and after its report.
    folder = out / "checkpoints" / f"{counters.step:09d}-{counters.mark:04d}"
    if not folder.exists():
        save_checkpoint(folder, trainer, origin)
    kept = sorted(path for path in folder.parent.iterdir() if not path.name.startswith("."))
    for old in kept[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def _rows(out: Path) -> list[dict[str, Any]]:
    """The reports in a run folder; a line that was cut off when the process died does not count."""
    try:
        lines = (out / "reports.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a request to stop between two steps; a second one is obeyed."""
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        requested = True
        signal.signal(number, signal.default_int_handler)

    previous = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _diagnosis(trainer: Trainer) -> str:
    from trm.diagnostics import describe, diagnose

    return describe(diagnose(trainer.counters.history, trainer.config.diagnostics))


def _conclude(trainer: Trainer, out: Path, as_json: bool) -> int:
    if trainer.counters.diverged:
        print(
            f"trm: training diverged at step {trainer.counters.step}: a non-finite loss or "
            "gradient; try a lower optimizer.lr or a longer optimizer.lr_warmup_steps",
            file=sys.stderr,
        )
        return 1
    rows = _rows(out)
    if trainer.counters.collapsed:
        print(f"trm: training collapsed: {_diagnosis(trainer)}", file=sys.stderr)
        return 1
    if rows and not as_json:
        last = rows[-1]
        print(
            f"exact accuracy {last['exact_accuracy']:.3f} on valid "
            f"(cells {last['cell_accuracy']:.3f}, mean steps {last['mean_steps']:.2f}) "
            f"after {last['step']} steps in {last['seconds']:.0f} s; saved in {out}"
        )
        if last["findings"]:
            print(_diagnosis(trainer))
        promise = trainer.config.promise
        if promise is not None:
            value = last[promise.column]
            where = "inside" if promise.low <= value <= promise.high else "OUTSIDE"
            print(
                f"promised {promise.column} {promise.low:.3f} to {promise.high:.3f} "
                f"({promise.confidence:.0%}): {value:.3f} is {where}"
            )
    return 0
