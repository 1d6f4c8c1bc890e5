"""Train one model from a config file or preset.

Values that the file leaves to a search are taken at their defaults. The run folder holds
`config.yaml` (every value written out), `reports.jsonl` (the learning curve) and `checkpoints/`.

  trm train sudoku4
  trm train best.yaml --set train.seed=7 --out runs/seed7
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trm.report import Report
    from trm.trainer import Trainer

KEPT_CHECKPOINTS = 2


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
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--json", action="store_true", help="print each report as a line of JSON")


def run(args: argparse.Namespace) -> int:
    """Train, report, checkpoint; returns the exit code."""
    from search.config import load_tree
    from search.display import note, task_progress
    from search.lock import FileLock
    from search.space import Space
    from trm.checkpoint import resume, save_checkpoint
    from trm.config import experiment_from
    from trm.provenance import provenance
    from trm.run_folder import cache_folder, create_folder, latest_checkpoint
    from trm.trainer import Trainer
    from trm.yaml12 import dump_yaml

    tree = load_tree(args.config, args.sets)
    space = Space.parse(tree)
    _, drawn = space.default()
    config = experiment_from(drawn)
    if space.searches:
        note(f"{len(space.parameters)} searched values are taken at their defaults")
    out = args.out or Path("runs") / f"{config.name}-train"
    create_folder(out, "config.yaml", resume=args.resume)
    with ExitStack() as stack:
        stack.callback(FileLock(out / "lock").release)
        progress = stack.enter_context(task_progress())
        start = latest_checkpoint(out) if args.resume else None
        task = config.task.build(cache_folder(), progress)
        if start is None:
            (out / "config.yaml").write_text(dump_yaml(config.tree()), encoding="utf-8")
            (out / "reports.jsonl").unlink(missing_ok=True)
            trainer = Trainer(config, task)
        else:
            trainer = resume(start, task)
            _drop_later_reports(out / "reports.jsonl", trainer.counters.mark)
            note(f"going on from step {trainer.counters.step}")
        origin = provenance()
        with _stop_request() as stop, (out / "reports.jsonl").open("a") as curve:
            from search.display import TrainDisplay

            with TrainDisplay(config.name, trainer.budget, json_lines=args.json) as display:
                for report in trainer.run(stop):
                    curve.write(json.dumps(report.row()) + "\n")
                    curve.flush()
                    _checkpoint(out, trainer, origin)
                    display.show(report)
                last = display.last
        if not trainer.finished:
            save_checkpoint(out / "checkpoints" / f"{trainer.counters.step:09d}", trainer, origin)
            again = f"trm train {args.config} --out {out} --resume"
            print(f"trm: interrupted at step {trainer.counters.step}; resume with: {again}",
                  file=sys.stderr)  # fmt: skip
            return 130
    return _conclude(trainer, last, out, args.json)


def _checkpoint(out: Path, trainer: Trainer, origin: dict[str, str]) -> None:
    from trm.checkpoint import save_checkpoint

    folder = out / "checkpoints" / f"{trainer.counters.step:09d}"
    if not folder.exists():
        save_checkpoint(folder, trainer, origin)
    kept = sorted(path for path in folder.parent.iterdir() if not path.name.startswith("."))
    for old in kept[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def _drop_later_reports(curve: Path, mark: int) -> None:
    """Reports past the checkpoint are made again on resume; they must not stand twice."""
    rows = [json.loads(line) for line in curve.read_text().splitlines() if line.endswith("}")]
    curve.write_text("".join(json.dumps(row) + "\n" for row in rows if row["mark"] <= mark))


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a request to stop between two steps."""
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        requested = True

    previous = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _conclude(trainer: Trainer, last: Report | None, out: Path, as_json: bool) -> int:
    if trainer.counters.diverged:
        print(
            f"trm: training diverged at step {trainer.counters.step}: a non-finite loss or "
            "gradient; try a lower optimizer.lr or a longer optimizer.lr_warmup_steps",
            file=sys.stderr,
        )
        return 1
    if last is not None and not as_json:
        print(
            f"exact accuracy {last.exact_accuracy:.3f} on valid "
            f"(cells {last.cell_accuracy:.3f}, mean steps {last.mean_steps:.2f}) "
            f"after {last.step} steps in {last.seconds:.0f} s; saved in {out}"
        )
        promise = trainer.config.promise
        if promise is not None:
            value = last.row()[promise.column]
            where = "inside" if promise.low <= value <= promise.high else "OUTSIDE"
            print(
                f"promised {promise.column} {promise.low:.3f} to {promise.high:.3f} "
                f"({promise.confidence:.0%}): {value:.3f} is {where}"
            )
    return 0
