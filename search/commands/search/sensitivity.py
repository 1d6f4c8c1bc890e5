"""Vary the winner's settings around their values, over seeds: what is safe, and where cliffs are.

`--design oat` changes one setting at a time, over values on its own scale (ratios where the space
has a log range). `--design sobol` changes all at once and says what share of the variance each
causes. Both are new runs of the full budget, of the stage `sensitivity` in the run folder; what ran
before is not run again, so more points or seeds extend a design, and a stopped one goes on.

  trm sensitivity runs/mine --dry-run
  trm sensitivity runs/mine --params optimizer.lr,model.H_cycles --points 7 --seeds 3
  trm sensitivity runs/mine --design sobol --points 32 --radius 1
"""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING, Any

from search.commands.options import add_ray_arguments, ends_well, positive
from trm.stopping import at_an_interrupt

if TYPE_CHECKING:
    from search.stability.response import Response, TriedValue
    from search.stability.sensitivity_design import Budget, Request
    from search.stability.sensitivity_result import Sensitivity
    from search.stats.sobol import Index

_BAR = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm sensitivity`."""
    parser.add_argument("run", metavar="RUN", help="a finished run folder of `trm sweep`, or a URI")
    parser.add_argument(
        "--design", choices=("oat", "sobol"), default="oat",
        help="one at a time (default), or all at once for Sobol's indices",
    )  # fmt: skip
    parser.add_argument(
        "--params", metavar="A,B", type=_names, default=(),
        help="parameters to vary, as `trm status` names them (default: all that the winner has)",
    )  # fmt: skip
    parser.add_argument(
        "--points", type=positive, metavar="N",
        help="values of each range (oat, default 5); rows of the design (sobol, default 16, a "
        "power of two): each costs parameters + 2 configs",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=positive, default=2, metavar="S", help="trials of each config (default: 2)"
    )
    parser.add_argument(
        "--radius", type=float, default=0.3, metavar="SHARE",
        help="how far from the winner's value, as a share of each range (default: 0.3; 1: all)",
    )  # fmt: skip
    add_ray_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would run and cost; start nothing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Run the design and print what it shows; returns the exit code."""
    at_an_interrupt(f"go on with: {shlex.join(['trm', 'sensitivity', *args.words])}")
    from dataclasses import asdict

    from search.engine.driver import Runner
    from search.logs.console import note
    from search.logs.terminal import SweepDisplay
    from search.stability.sensitivity import sensitivity
    from search.stability.sensitivity_design import Request, budget_of

    request = Request(args.design, args.params, args.points, args.seeds, args.radius)
    budget = budget_of(args.run, request)
    if args.dry_run:
        print(json.dumps(asdict(budget)) if args.json else _budget_text(request, budget))
        return 0
    note(_cost_line(request, budget))
    display = SweepDisplay(quiet=args.json)

    def work() -> None:
        found = sensitivity(
            args.run,
            request,
            Runner(address=args.address, parallel=args.parallel, display=display),
        )
        print(json.dumps(asdict(found)) if args.json else _text(found))

    return ends_well(work)


def _cost_line(request: Request, budget: Budget) -> str:
    from search.logs.console import duration

    left = budget.runs - budget.done
    time = ""
    if budget.seconds is not None and left:
        time = f", about {duration(left * budget.seconds)} of one worker's time"
    done = f", {budget.done} of them done" if budget.done else ""
    work = f"{_count(budget.configs, 'config')} x {_count(request.seeds, 'seed')}"
    return f"{work} = {_count(budget.runs, 'full trial')}{done}{time}"


def _budget_text(request: Request, budget: Budget) -> str:
    lines = [_cost_line(request, budget)]
    joint = ", " if request.design == "oat" else " to "
    for name, values in budget.varied.items():
        joined = (joint if not isinstance(values[0], str) else ", ").join(map(_short, values))
        lines.append(f"  {name}: {joined}")
    return "\n".join(lines)


def _text(found: Sensitivity) -> str:
    seeds = _count(found.seeds, "seed")
    lines = [f"around trial {found.winner}, {found.objective} over {seeds} a point"]
    if found.sd:
        lines[0] += f"; {found.sd:.3f} between seeds"
    if found.failures:
        lines[0] += f"; {found.failures:.0%} of the trials failed"
    if found.design == "sobol":
        return "\n".join([*lines, "", *_index_lines(found)])
    sign = 1.0 if found.maximizes else -1.0
    # One scale for all: bars of one parameter's own would make its noise look like a cliff.
    means = [
        sign * point.merit for each in found.responses for point in each.points if point.scores
    ]
    ends = (min(means, default=0.0), max(means, default=1.0))
    for each in found.responses:
        lines += ["", *_response_lines(each, found, ends)]
    if found.seeds == 1:
        lines.append("\none seed a point: cliffs are by size alone, with no test against noise")
    return "\n".join(lines)


def _response_lines(each: Response, found: Sensitivity, scale: tuple[float, float]) -> list[str]:
    sign = 1.0 if found.maximizes else -1.0
    lines = [f"{each.name} ({each.scale}), winner {_short(each.winner)}"]
    for point in each.points:
        mark = "<" if point.value == each.winner else " "
        lines.append(f"  {_short(point.value):>12} {mark} {_point(point, sign, *scale)}")
    if each.scale == "options":
        lines.append(f"  safe: {', '.join(map(_short, each.safe))}")
    else:
        below = "at or below " if each.open[0] else ""
        above = " or above" if each.open[1] else ""
        lines.append(
            f"  safe: {below}{_short(each.safe[0])} to {_short(each.safe[1])}{above}, "
            f"{each.width:.0%} of the range (mean within {found.margin:.3f}, no more failures)"
        )
    for cliff in each.cliffs:
        failed = f", failed trials {cliff.failed:+.0%}" if cliff.failed else ""
        lines.append(
            f"  cliff: {_short(cliff.near)} -> {_short(cliff.far)}: {found.objective} "
            f"{sign * cliff.change:+.3f}{failed}"
        )
    return lines


def _point(point: TriedValue, sign: float, low: float, high: float) -> str:
    if not point.scores:
        return f"no model: {point.reason}" if point.reason else "not run"
    mean = sign * point.merit
    share = (mean - low) / (high - low) if high > low else 1.0
    failed = f"  {point.failures} of {len(point.scores)} failed" if point.failures else ""
    return f"{'█' * max(1, round(_BAR * share)):<{_BAR}} {mean:.3f}{failed}"


def _index_lines(found: Sensitivity) -> list[str]:
    if not found.score:
        return ["too few rows of the design have models in every config: narrow the space"]
    lines = _table(f"share of the variance of {found.objective}, {found.rows} rows", found, "score")
    if found.failure:
        lines += ["", *_table("share of the variance of failing", found, "failure")]
    return lines


def _table(head: str, found: Sensitivity, target: str) -> list[str]:
    from dataclasses import asdict

    from search.stats.sobol import nothing_varies

    rows: dict[str, Index] = getattr(found, target)
    width = max(map(len, rows))
    if nothing_varies(asdict(index) for index in rows.values()):
        return [f"{head}: undefined, for the configs differ by no more than seeds do"]
    level = f"{found.confidence:.0%} interval"
    lines = [head, f"{'':<{width}}  alone  {level:<15}  in all  {level}"]
    for name, index in sorted(rows.items(), key=lambda item: -item[1].total.value):
        first, total = index.first, index.total
        lines.append(
            f"{name:<{width}}  {first.value:>5.2f}  {f'{first.low:.2f} to {first.high:.2f}':<15}  "
            f"{total.value:>6.2f}  {total.low:.2f} to {total.high:.2f}"
        )
    return lines


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} must be names, as in optimizer.lr,curriculum")
    return names
