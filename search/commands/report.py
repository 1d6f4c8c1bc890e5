"""Write a run as one HTML page: what won, how sure that is, and why.

The page holds everything it shows and fetches nothing; it opens in any browser, on a phone too.
Runs that are unfinished or failed have one as well, which says what is missing.

  trm report runs/mine --open
  trm report runs/mine --out report.html
  trm report runs/mine --images figures --format svg      # pip install 'trm-search[images]'
"""

from __future__ import annotations

import argparse
from pathlib import Path

from search.report.images import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm report`."""
    parser.add_argument("run", metavar="RUN", help="a run folder of `trm sweep`, or its URI")
    parser.add_argument(
        "--out", metavar="FILE", help="the page (default: report.html in the run folder)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument(
        "--images", metavar="DIR", type=Path, help="write every figure into this folder too"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="svg", help="of the images (default: svg)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the page; returns the exit code."""
    import webbrowser

    from search.report.write import write_report

    written = write_report(args.run, args.out, images=args.images, format=args.format)
    print(f"written to {written}")
    if args.images is not None:
        print(f"figures in {args.images}")
    if args.open and isinstance(written, Path):
        webbrowser.open(written.absolute().as_uri())
    return 0
