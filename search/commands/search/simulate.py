"""Compare samplers and schedulers on recorded learning curves, in virtual time.

RUN is a run folder, finished or in progress; FILE a recording that `--save` has made of one. Whole
sweeps run on them at equal training compute, the confirm stage included: the real draws, early
stopping and choice of the winner, with recorded reports in place of training. A suggestion stands
for the nearest recorded config. Half of the recorded seeds, another half each time, feed the
sweeps; the other half says how good the pick really is. 8 configs that ran to their end are needed;
to record well, run a sweep with

  trm sweep my.yaml --set search.sampler=random --set search.scheduler=none \\
    --set train.reports=12 --trials 100 --set stability.candidates=100 --set stability.seeds=5

  trm simulate runs/mine --samplers tpe,random --schedulers asha,halving,none --workers 8
  trm simulate runs/mine --set 'search.scheduler={name: asha, metric: cell_accuracy}' --compute 60
  trm simulate runs/mine --save mine.parquet

With --replay nothing is simulated: the configs of RUN are drawn again, each from what was known
when it was asked for, which several workers make a matter of chance and the run has on record. It
says of each whether it is the same, and ends with 1 if one is not. With other samplers or settings
it says what they would have tried at each draw, and the score of the run's config nearest to that.

  trm simulate runs/mine --replay
  trm simulate runs/mine --replay --samplers random,tpe
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from search.commands.options import a_path, positive
from trm.errors import UserError

if TYPE_CHECKING:
    from search.simulator.methods import MethodLine
    from search.simulator.recording import Recording


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm simulate`."""
    parser.add_argument(
        "source",
        metavar="RUN|FILE",
        help="a run folder or its URI, or a recording in Parquet",
    )
    parser.add_argument(
        "--samplers", type=_names, metavar="A,B", help="samplers to try (default: the file's)"
    )
    parser.add_argument(
        "--schedulers", type=_names, metavar="A,B", help="schedulers to try (default: the file's)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="a setting of search or stability, for all that is tried; may be repeated",
    )  # fmt: skip
    parser.add_argument("--workers", type=positive, default=4, metavar="N", help="trials at once")
    parser.add_argument(
        "--compute", type=positive, metavar="RUNS",
        help="full training runs that each sweep may spend (default: half of the recorded configs)",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=positive, default=20, metavar="R", help="sweeps of each kind (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all draws")
    parser.add_argument(
        "--clock", choices=("seconds", "compute"), default="seconds",
        help="what a report takes: its recorded seconds, or its compute at one rate",
    )  # fmt: skip
    parser.add_argument("--save", type=a_path, metavar="FILE", help="write the recording, and stop")
    parser.add_argument(
        "--replay", action="store_true", help="draw the run's configs again, and compare"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Simulate; returns the exit code."""
    if args.replay:
        return _replay(args)
    from search.ledger.storage import place
    from search.simulator.methods import compare, methods
    from search.simulator.recording import read_recording, write_recording
    from search.simulator.world import splits

    recording = read_recording(place(args.source))
    if args.save:
        write_recording(args.save, recording)
        print(f"{_recorded(recording)}; written to {args.save}")
        return 0
    chosen = methods(recording, args.sets, args.samplers or (), args.schedulers or ())
    lines = compare(
        recording,
        chosen,
        splits(recording.seeds, args.repeat, args.seed),
        workers=args.workers,
        compute=args.compute or max(len(recording.params) // 2, 1),
        seed=args.seed,
        clock=args.clock,
    )
    if args.json:
        print(json.dumps([asdict(line) for line in lines]))
    else:
        print(_recorded(recording))
        print(_table(lines, args.clock))
    return 0


def _replay(args: argparse.Namespace) -> int:
    """Draw again; 1 if the sweep's own sampler draws another config."""
    from search.ledger.storage import place
    from search.logs.console import task_progress
    from search.simulator.replay_text import replayed_otherwise, replayed_text

    if args.schedulers or args.save:
        raise UserError("--replay", None, "takes samplers and settings alone: it draws configs")
    folder = place(args.source)
    with task_progress() as show:
        step = (lambda share: show("drawing again", share)) if show else (lambda share: None)
        if args.samplers or args.sets:
            text = replayed_otherwise(folder, args.samplers or (None,), args.sets, step, args.json)
            same = True
        else:
            text, same = replayed_text(folder, step, args.json)
    print(text)
    return 0 if same else 1


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _recorded(recording: Recording) -> str:
    words = f"{len(recording.params)} configs over {len(recording.seeds)} seed"
    words += "s" if len(recording.seeds) > 1 else ""
    if recording.dropped:
        words += f" ({recording.dropped} more configs lack some of their runs)"
    if len(recording.seeds) == 1:
        words += ": nothing is confirmed, and the truth is what the sweeps saw"
    return words


def _table(lines: list[MethodLine], clock: str) -> str:
    """The true quality of what each method picks, best mean first."""
    best, defaults = "the best recorded config", "the file's default values"
    width = max(len(defaults), *(len(line.method) for line in lines))
    time = "time" if clock == "seconds" else "runs one after another"
    rows = [
        f"{'':<{width}}  true quality of the pick    overtuned      compute  {time}",
        f"{'':<{width}}  mean   quartiles                       (full runs)     trials",
    ]
    for line in sorted(lines, key=lambda line: line.quality, reverse=lines[0].maximizes):
        low, middle, high = line.quartiles
        clocked = f"{line.time:,.0f} s" if clock == "seconds" else f"{line.time:,.1f}"
        rows.append(
            f"{line.method:<{width}}  {line.quality:.3f}  {low:.3f} {middle:.3f} {high:.3f}"
            f"  {line.overtuned:9.0%}  {line.compute:11.1f}  {clocked:>10}  {line.trials:6.1f}"
        )
    rows.append(f"{best:<{width}}  {lines[0].best:.3f}")
    rows.append(f"{defaults:<{width}}  {lines[0].defaults:.3f}")
    rows.append("overtuned: sweeps whose pick is truly worse than the default values")
    return "\n".join(rows)
