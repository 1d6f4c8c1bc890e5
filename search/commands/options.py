"""Types of command-line arguments, with one-line errors."""

from __future__ import annotations

import argparse
import shlex
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from pathlib import Path

from trm.errors import UserError
from trm.files.paths import checked_path, home_path


def a_path(text: str) -> Path:
    """A path that a file or folder can have; `--out=~/mine` reaches us as it stands."""
    try:
        return home_path(checked_path(text))
    except UserError as error:
        raise ArgumentTypeError(str(error)) from None


def a_place(text: str) -> str:
    """A path that a folder can have, or a URI."""
    return text if "://" in text else str(a_path(text))


def positive(text: str) -> int:
    """A whole number from 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return value


def probability(text: str) -> float:
    """A number strictly between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise ArgumentTypeError(f"{text!r} must lie between 0 and 1")
    return value


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    """`--parallel` and `--address`."""
    parser.add_argument("--parallel", type=positive, metavar="N", help="trials at once, at most")
    parser.add_argument(
        "--address", metavar="A", help="a Ray cluster that is up: auto or host:port"
    )


def add_retry(parser: argparse.ArgumentParser) -> None:
    """`--retry`."""
    parser.add_argument(
        "--retry", action="append", default=[], metavar="WHICH",
        help="with --resume: run failed trials again, `crashed`, `oom` or a trial's number; "
        "may be repeated",
    )  # fmt: skip


def add_weights(parser: argparse.ArgumentParser) -> None:
    """`CHECKPOINT` and `--trial`."""
    parser.add_argument(
        "checkpoint", type=a_place, metavar="RUN",
        help="a sweep's run folder or its URI (the winner's weights), the folder of `trm train`, "
        "or a checkpoint",
    )  # fmt: skip
    parser.add_argument(
        "--trial", type=int, metavar="ID",
        help="of a sweep's run: the last checkpoint of this trial instead of the winner's",
    )  # fmt: skip


def ends_well(work: Callable[[], None], *, limited: str = "") -> int:
    """Do the work of a command; an end that is no defect becomes one line on stderr.

    Args:
        limited: the command that goes on after a limit.

    Returns:
        The exit code: 0 done, 1 failed at run time.
    """
    from cluster.connect import ClusterError
    from search.engine.attempts.guilt import NoNodeError
    from search.ledger.lease import LeaseLostError
    from search.sweep.stages import LimitReachedError, NoWinnerError
    from trm.blame import StorageError

    try:
        work()
    except (NoWinnerError, LeaseLostError, ClusterError) as error:
        print(f"trm: {error}", file=sys.stderr)
        return 1
    except (LimitReachedError, NoNodeError, StorageError) as error:
        with_command = f" with: {limited}" if limited else ""
        print(f"trm: {error}{with_command}", file=sys.stderr)
        return 1
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
        value = getattr(args, flag.replace("-", "_"))
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            words += [f"--{flag}", str(each)]
    return shlex.join([*words, "--resume"])
