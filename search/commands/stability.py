"""Confirm a run's best candidates again, with more candidates or more seeds.

What ran before counts and is not run again; `result.json` and `best.yaml` are renewed.

  trm stability runs/mine --candidates 5 --seeds 8
"""

from __future__ import annotations

import argparse
import sys

from search.arguments import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm stability`."""
    parser.add_argument("run", metavar="RUN", help="a run folder of `trm sweep`, or its URI")
    parser.add_argument(
        "--candidates", "--top", type=positive, metavar="K", dest="candidates",
        help="how many of the best explored configs to confirm (default: as before)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=positive, metavar="S", help="fresh seeds a candidate (default: as before)"
    )
    parser.add_argument(
        "--promise-seeds", type=positive, metavar="S",
        help="further seeds of the winner and the reference recipe (default: as before)",
    )  # fmt: skip
    parser.add_argument("--parallel", type=positive, metavar="N", help="trials at once")
    parser.add_argument(
        "--address", metavar="A", help="a Ray cluster that is up: auto or host:port"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Confirm again; returns the exit code."""
    from search.commands.sweep import print_result
    from search.lease import LeaseLostError
    from search.live import SweepDisplay
    from search.sweep import LimitReachedError, NoWinnerError, stability

    try:
        done = stability(
            args.run,
            candidates=args.candidates,
            seeds=args.seeds,
            promise_seeds=args.promise_seeds,
            address=args.address,
            parallel=args.parallel,
            display=SweepDisplay(quiet=args.json),
        )
    except (NoWinnerError, LeaseLostError) as error:
        print(f"trm: {error}", file=sys.stderr)
        return 1
    except LimitReachedError as error:
        print(f"trm: {error} with: trm sweep ... --resume", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("trm: interrupted; the same command goes on", file=sys.stderr)
        return 130
    print_result(done, as_json=args.json)
    return 0
