"""Show what happened in a run, or all that is known of one trial, from any machine that sees it.

Without TRIAL: what the drivers did and warned of, in time order: trials that began, on which
worker, waited and ended, attempts that were lost. With TRIAL: its config, attempts, reports, what
it failed by, and what the processes of its attempts wrote, kept in the run folder up to 256 KiB an
attempt and without values of variables that are named as secrets are. Of a folder of `trm train`:
its reports, and when its last process began and ended.

  trm logs runs/mine
  trm logs runs/mine --follow
  trm logs runs/mine 17 --tail 50
  trm logs 's3://bucket/runs/mine' 17 --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from search.commands.options import positive
from trm.stopping import at_an_interrupt

if TYPE_CHECKING:
    from search.logs.driver_log import RunEvent

_PAUSE = 2.0
_SHARE = 0.2
"""Of its time that a command which follows may spend on reading, at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm logs`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, or its URI")
    parser.add_argument("trial", metavar="TRIAL", nargs="?", type=_number, help="a trial's number")
    parser.add_argument(
        "--tail", type=positive, metavar="N",
        help="the last N lines (of reports and of each attempt's output, with TRIAL)",
    )  # fmt: skip
    parser.add_argument(
        "--follow", action="store_true", help="go on with what comes, while a driver is at work"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON: an event a line, or a trial as one object"
    )


def run(args: argparse.Namespace) -> int:
    """Print it; returns the exit code."""
    at_an_interrupt("the run is not disturbed")
    if args.trial is not None:
        return _trial(args)
    return _events(args)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be a trial's number, from 0")
    return int(text)


def _trial(args: argparse.Namespace) -> int:
    from search.analysis.run_logs import trial_story

    shown = ""
    while True:
        begun = time.monotonic()
        works = args.follow and _works(args.run)
        story = trial_story(args.run, args.trial)
        text = json.dumps(story.tree()) if args.json else story.text(args.tail)
        if text != shown:
            # What is added to the end follows; anything else is said anew.
            new = text[len(shown) :].lstrip("\n") if shown and text.startswith(shown) else text
            print(new, flush=True)
            shown = text
        if not works or story.trial.ended:
            return 0
        _wait(begun)


def _events(args: argparse.Namespace) -> int:
    from search.analysis.run_logs import run_events

    seen: set[RunEvent] = set()
    while True:
        begun = time.monotonic()
        works = args.follow and _works(args.run)
        events = run_events(args.run)
        new = [event for event in events if event not in seen]
        for event in new[-args.tail :] if args.tail and not seen else new:
            print(json.dumps(asdict(event)) if args.json else event.line())
        sys.stdout.flush()
        seen.update(new)
        if not works:
            return 0
        _wait(begun)


def _works(run: str) -> bool:
    from search.engine.presence import files_in, holder_of_run
    from search.ledger.storage import place
    from trm.files.driver_note import read_note

    where = place(run).absolute()
    note = read_note(files_in(where))
    return bool(holder_of_run(where)) or (note is not None and note.lives)


def _wait(begun: float) -> None:
    time.sleep(max(_PAUSE, (time.monotonic() - begun) / _SHARE))
