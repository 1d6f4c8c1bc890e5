"""Train one model from a config file or preset.

Values that the file leaves to a search are taken at their defaults. The run folder holds
`config.yaml` (every value written out), `reports.jsonl` (the learning curve) and `checkpoints/`.

Ctrl-C, SIGTERM or SIGHUP stop between two steps and save; the command that resumes is printed.
The exit code is 1 when training diverges (a non-finite loss or gradient) or has collapsed at its
end. What the failure detectors found is printed in words; `trm diagnose DIR` says it again.

  trm train sudoku4
  trm train best.yaml --set train.seed=7 --out runs/seed7
  trm train best.yaml --set train.seed=7 --out runs/seed7 --resume
  trm train best.yaml --set train.budget.steps=4000 --out runs/long --resume     # twice as long

  trm train other.yaml --from runs/seed7                      # fine-tune

`--from` begins with the weights of a checkpoint, of the newest one of a training's folder, or of a
sweep's winner: the averaged ones where it has them. Optimiser, step count and curriculum begin
anew; `trm guide your-task` says what another vocabulary or length may take over, and `train.freeze`
what stands still at first. `trm sweep` has no such option.

`--processes N` shares every batch out over N processes on this machine, each with a GPU, or with
`train.threads` CPU threads, of its own: the run is that of one process but for rounding, and can go
on with another number of them. With `--address A` they are processes of a Ray cluster, side by side
in one placement group. Where torchrun starts them, on one machine or several, both are left out:
`torchrun --nproc-per-node 4 --no-python trm train best.yaml`. Only the first one reports and
writes. When one dies all end, and `--resume` goes on from the last checkpoint.

A larger budget extends a run, also a finished one. Where the learning rate or the curriculum
depends on the budget, that is another run than one that was planned so long; a line says so.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.options import a_path, positive
from trm.stopping import at_an_interrupt
from trm.training.loading import load

if TYPE_CHECKING:
    from trm.report import Report
    from trm.run.training import Training
    from trm.training.trainer import Trainer

NOT_READ = ("search", "stability", "cluster", "ablations")
"""Sections of a sweep's file that say nothing of one training."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm train`."""
    parser.add_argument("config", help="a YAML file or a preset's name")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="override one value, as in train.seed=3; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=a_path, metavar="DIR", help="run folder (default: runs/NAME-train)"
    )
    parser.add_argument(
        "--from", type=a_path, metavar="CHECKPOINT", dest="start",
        help="begin with the weights of a checkpoint, a training's folder or a sweep's winner "
        "instead of fresh ones",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="go on with the run in --out where it stands, or begin it; needs the same config, but "
        "for a larger train.budget, which extends it",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=positive, default=1, metavar="N",
        help="train with N processes on this machine, each on its share of every batch and with a "
        "GPU or train.threads CPU threads of its own",
    )  # fmt: skip
    parser.add_argument(
        "--address", metavar="A",
        help="have them on a Ray cluster that is up, auto or host:port, in one placement group; "
        "--out is then a folder that its machines share",
    )  # fmt: skip
    parser.add_argument(
        "-v", "--verbose", action="store_true",
        help="say what was decided by itself and why: device, precision, threads, kernel, budget, "
        "evaluations; a line each, on the error stream",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print each report as a line of JSON")


def run(args: argparse.Namespace) -> int:
    """Train, report, checkpoint; returns the exit code."""
    at_an_interrupt(_again(args, args.out))
    load("trm.run.training")
    from search.config.config import read_config
    from search.logs.console import TrainDisplay, note, say
    from search.logs.training_log import training_log
    from trm.device import slow_precision
    from trm.parallel.leading import LostProcessError
    from trm.parallel.meeting import from_environment
    from trm.run.folder import read_rows
    from trm.run.training import Stopped, train
    from trm.training.decisions import decisions

    meeting = from_environment()
    if meeting is not None and meeting.rank:
        from trm.parallel.following import follow

        return follow(meeting)

    read = read_config(args.config, args.sets)
    config = read.default
    if read.space.searches:
        note(f"{len(read.space.parameters)} searched values are taken at their defaults")
    _say_what_is_not_read(args.sets)
    out: Path = args.out or Path("runs") / f"{config.name}-train"
    start = _start(args.start)
    logs = read.sections.log
    if args.address is not None:
        return _on_cluster(args, config.tree() | {"log": logs.model_dump(mode="json")}, out, start)
    try:
        with (
            training_log(logs, out, config.name, config.tree()) as log,
            TrainDisplay(config.name, json_lines=args.json) as display,
        ):

            def begin(trainer: Trainer, changed: list[str]) -> None:
                display.begin(trainer.counters.step, changed)
                resolved = trainer.resolved
                if args.verbose:
                    for decision in decisions(trainer):
                        say(decision.text())
                elif resolved.device == "cpu" and config.train.kernel == "auto":
                    reason = f" ({resolved.kernel_reason})" if resolved.kernel_reason else ""
                    note(f"train.kernel: {resolved.kernel}{reason}")
                if slow := slow_precision(resolved):
                    note(slow)
                log.begin(read_rows(out))

            def report(row: Report) -> None:
                display.show(row)
                log.add(row)

            training = train(
                config,
                out,
                start=start,
                resume=args.resume,
                processes=args.processes,
                meeting=meeting,
                on_data=display.data,
                on_begin=begin,
                on_step=display.moved,
                on_report=report,
                on_extended=lambda said: print(f"trm: {said}", file=sys.stderr),
                on_start=lambda said: print(f"trm: {said}", file=sys.stderr),
            )
            log.end(training.outcome, training.last.get("exact_accuracy"))
    except Stopped as stop:
        at_an_interrupt(_again(args, out), f"at step {stop.step}")
        raise
    except LostProcessError as lost:
        print(f"trm: {lost}; what was saved stays; {_again(args, out)}", file=sys.stderr)
        return 1
    return _conclude(training, args.json)


def _start(given: Path | None) -> Path | None:
    """The checkpoint or training of `--from`; of a sweep's run, the winner's weights."""
    from search.export.weights import weights_of

    if given is None:
        return None
    with weights_of(given) as weights:
        return weights.checkpoint


def _on_cluster(
    args: argparse.Namespace, tree: dict[str, Any], out: Path, start: Path | None
) -> int:
    from search.engine.together import train_on_cluster
    from search.logs.console import note
    from trm.run.training import Stopped

    options = ["--resume"] if args.resume else []
    options += ["--json"] if args.json else []
    options += ["--verbose"] if args.verbose else []
    options += [] if start is None else ["--from", str(start.absolute())]
    try:
        end = train_on_cluster(
            tree, out.absolute(), args.processes, args.address, options=options, say=note
        )
    except Stopped as stop:
        at_an_interrupt(_again(args, out), f"at step {stop.step}" if stop.step else "")
        raise
    if not end.lost:
        return 1 if end.code is None else end.code
    print(f"trm: {end.lost}; what was saved stays; {_again(args, out)}", file=sys.stderr)
    return 1


def _again(args: argparse.Namespace, out: Path | None) -> str:
    sets = [word for setting in args.sets for word in ("--set", setting)]
    place = [] if out is None else ["--out", str(out)]
    start = [] if args.start is None else ["--from", str(args.start)]
    several = [] if args.processes == 1 else ["--processes", str(args.processes)]
    several += [] if args.address is None else ["--address", args.address]
    words = ["trm", "train", args.config, *sets, *start, *place, *several, "--resume"]
    return "resume with: " + shlex.join(words)


def _say_what_is_not_read(sets: Sequence[str]) -> None:
    """A setting that somebody writes on the command line is meant to do something."""
    from search.logs.console import warn

    for setting in sets:
        section = setting.partition("=")[0].partition(".")[0].strip()
        if section in NOT_READ:
            warn(f"--set {setting}: does nothing here: `trm train` does not read `{section}`")


def _diagnosis(training: Training) -> str:
    from trm.diagnostics import describe, diagnose

    trainer = training.trainer
    return describe(diagnose(trainer.counters.history, trainer.config.diagnostics))


def _conclude(training: Training, as_json: bool) -> int:
    trainer = training.trainer
    if trainer.counters.diverged:
        print(
            f"trm: training diverged at step {trainer.counters.step}: a non-finite loss or "
            "gradient; try a lower optimizer.lr or a longer optimizer.lr_warmup_steps",
            file=sys.stderr,
        )
        return 1
    if trainer.counters.collapsed:
        print(f"trm: training collapsed: {_diagnosis(training)}", file=sys.stderr)
        return 1
    if training.rows and not as_json:
        last = training.last
        print(
            f"exact accuracy {last['exact_accuracy']:.3f} on valid "
            f"(cells {last['cell_accuracy']:.3f}, mean steps {last['mean_steps']:.2f}) "
            f"after {last['step']} steps in {last['seconds']:.0f} s; saved in {training.folder}"
        )
        if last["findings"]:
            print(_diagnosis(training))
        promise = trainer.config.promise
        if promise is not None:
            value = last[promise.column]
            where = "inside" if promise.low <= value <= promise.high else "OUTSIDE"
            print(
                f"promised {promise.column} {promise.low:.3f} to {promise.high:.3f} "
                f"({promise.confidence:.0%}): {value:.3f} is {where}"
            )
    return 0
