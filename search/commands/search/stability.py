"""Confirm a run's candidates by racing them over fresh seeds, with more of either if you like.

Every candidate gets `--seeds` fresh seeds. Then further ones go to those that may still be the
best, until the others are behind by the rule of the race or `--budget` trials are spent. The best
explored configs race, or those that `--trials` names; your defaults, the file's default values, are
always the base that the winner is held against. What ran before counts and is not run again;
`result.json`, `best.yaml` and `winner/` are renewed.

  trm stability runs/mine --top 8 --seeds 3 --budget 40
  trm stability runs/mine --trials 3,17,20
  trm stability runs/mine --racing off --seeds 5

How to read it: `robust` is the lower confidence bound of the mean over seeds, by which the winner
is chosen, and holds for all candidates at once; `IQM` the mean of the middle half of the seeds;
`best` the probability that no other candidate has a better mean; `explored` the search's own score,
which is optimistic. The promised interval is for one fresh seed. `--explain` says more.
"""

from __future__ import annotations

import argparse
import shlex

from search.commands.options import add_ray_arguments, ends_well, positive
from trm.stopping import at_an_interrupt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm stability`."""
    parser.add_argument("run", metavar="RUN", help="a run folder of `trm sweep`, or its URI")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--candidates", "--top", type=positive, metavar="K", dest="candidates",
        help="how many of the best explored configs to confirm (default: as before)",
    )  # fmt: skip
    chosen.add_argument(
        "--trials", type=_numbers, metavar="A,B",
        help="confirm these explore trials instead (numbers as in `trm status RUN`)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=positive, metavar="S",
        help="fresh seeds that every candidate gets first (default: as before)",
    )  # fmt: skip
    parser.add_argument(
        "--budget", type=positive, metavar="N",
        help="trials of all candidates together, those before included (default: as before, or one "
        "and a half times what the first seeds take)",
    )  # fmt: skip
    parser.add_argument(
        "--max-seeds", type=positive, metavar="S", help="of one candidate (default: as before)"
    )
    parser.add_argument(
        "--racing", choices=("on", "off"),
        help="off: no seeds beyond the first (default: as before, at first on)",
    )  # fmt: skip
    parser.add_argument(
        "--promise-seeds", type=positive, metavar="S",
        help="further seeds of the winner and your defaults (default: as before)",
    )  # fmt: skip
    add_ray_arguments(parser)
    parser.add_argument(
        "--explain", action="store_true", help="say of each number of the result what it is"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Confirm again; returns the exit code."""
    at_an_interrupt(f"go on with: {shlex.join(['trm', 'stability', *args.words])}")
    from search.commands.search.sweep import print_result
    from search.logs.terminal import SweepDisplay
    from search.sweep.launch import stability

    def work() -> None:
        done = stability(
            args.run,
            candidates=args.candidates,
            trials=args.trials,
            seeds=args.seeds,
            budget=args.budget,
            max_seeds=args.max_seeds,
            racing=None if args.racing is None else args.racing == "on",
            promise_seeds=args.promise_seeds,
            address=args.address,
            parallel=args.parallel,
            display=SweepDisplay(quiet=args.json),
        )
        print_result(done, as_json=args.json, explain=args.explain)

    return ends_well(work, limited="trm sweep ... --resume")


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be trial numbers, as in 3,17,20") from None
