"""What the commands that start runs on Ray share: where they run, and how they end."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence

from search.arguments import positive


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    """`--parallel` and `--address`."""
    parser.add_argument("--parallel", type=positive, metavar="N", help="trials at once")
    parser.add_argument(
        "--address", metavar="A", help="a Ray cluster that is up: auto or host:port"
    )


def ends_well(work: Callable[[], None], *, interrupted: str, limited: str = "") -> int:
    """Do the work of a command; an end that is no defect becomes one line on stderr.

    Args:
        interrupted: what to do after Ctrl-C.
        limited: the command that goes on after a limit.

    Returns:
        The exit code: 0 done, 1 failed at run time, 130 interrupted.
    """
    from search.lease import LeaseLostError
    from search.stages import LimitReachedError, NoWinnerError

    try:
        work()
    except (NoWinnerError, LeaseLostError) as error:
        print(f"trm: {error}", file=sys.stderr)
        return 1
    except LimitReachedError as error:
        print(f"trm: {error} with: {limited}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"trm: interrupted; {interrupted}", file=sys.stderr)
        return 130
    return 0


def resuming(args: argparse.Namespace, command: str, flags: Sequence[str]) -> str:
    """The command line that goes on with a run of a file.

    Args:
        flags: options that are repeated where they were given.
    """
    words = ["trm", command, args.config]
    for setting in args.sets:
        words += ["--set", setting]
    for flag in flags:
        value = getattr(args, flag)
        if value is not None:
            words += [f"--{flag}", str(value)]
    return shlex.join([*words, "--resume"])
