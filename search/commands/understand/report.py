"""Write a run as one HTML page: what won, how sure that is, and why; or show it as Optuna does.

The page holds everything it shows and fetches nothing; it opens in any browser, on a phone too.
Runs that are unfinished or failed have one as well, which says what is missing; so does a folder of
`trm train`: its curve, what detectors found, and how to repeat it.

  trm report runs/mine --open
  trm report runs/mine --out report.html
  trm report runs/mine --images figures --format svg      # pip install 'trm-search[images]'

`--live` writes nothing: it shows the page in a browser and follows the run while the sweep goes on.
Figures that change are drawn anew and keep their zoom; each trial's log and config are a click
away. It only reads, any number of browsers of this machine may look (from another one through
`ssh -L 8080:127.0.0.1:8080 MACHINE`), and Ctrl-C ends it.

  trm report runs/mine --live --open

`--dashboard` writes nothing: it shows the run in Optuna's dashboard, in a browser, also while the
sweep goes on. It only reads: nothing that is clicked changes the run, and Ctrl-C ends it. The
winner is its best trial and has a note; of fresh seeds and promises Optuna knows nothing. Runs of a
population and at a URI have no journal to show.

  trm report runs/mine --dashboard --port 9000            # pip install 'trm-search[dashboard]'
"""

from __future__ import annotations

import argparse
from pathlib import Path

from search.commands.options import a_path, a_place
from search.report.images import FORMATS
from trm.errors import UserError

_NICENESS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm report`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, or its URI")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=a_place,
        help="the page (default: report.html in the run folder)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument(
        "--images", metavar="DIR", type=a_path, help="write every figure into this folder too"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="svg", help="of the images (default: svg)"
    )
    served = parser.add_mutually_exclusive_group()
    served.add_argument(
        "--live", action="store_true", help="show the page and follow the run instead"
    )
    served.add_argument(
        "--dashboard", action="store_true", help="show the run in Optuna's dashboard instead"
    )
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="where the dashboard listens; 0.0.0.0 lets other machines look too "
        "(default: 127.0.0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--port",
        type=int,
        default=8080,
        help="of --live and the dashboard; 0 takes a free one (default: 8080)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page, or serve the dashboard until Ctrl-C; returns the exit code."""
    if args.live:
        return _follow(args)
    if args.dashboard:
        return _serve(args)
    import webbrowser

    from search.report.write import write_report

    written = write_report(args.run, args.out, images=args.images, format=args.format)
    print(f"written to {written}")
    if args.images is not None:
        print(f"figures in {args.images}")
    if args.open and isinstance(written, Path):
        webbrowser.open(written.absolute().as_uri())
    return 0


def _follow(args: argparse.Namespace) -> int:
    import os
    import webbrowser

    from search.ledger.storage import place
    from search.report.live.server import LOOPBACK, live_server

    for option in ("out", "images"):
        if getattr(args, option):
            raise UserError("--live", None, f"writes no page: leave --{option} out")
    if args.host != LOOPBACK:
        raise UserError(
            "--host", args.host,
            f"is of the dashboard alone, --live listens on {LOOPBACK}: to look from another "
            f"machine, run `ssh -L {args.port}:{LOOPBACK}:{args.port} THIS_MACHINE` there",
        )  # fmt: skip
    with live_server(place(args.run).absolute(), args.port) as server:
        if hasattr(os, "nice"):
            os.nice(_NICENESS)  # a sweep beside it comes first
        address = f"http://{LOOPBACK}:{server.server_port}/"
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if args.open:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _serve(args: argparse.Namespace) -> int:
    from search.logs.dashboard import dashboard_server
    from search.report.optuna_marks import OptunaMarks, unknown_line
    from search.stability.result import read_result

    for option in ("out", "open", "images"):
        if getattr(args, option):
            raise UserError("--dashboard", None, f"writes no page: leave --{option} out")
    folder = Path(args.run)
    with dashboard_server(folder, args.host, args.port, OptunaMarks(folder)) as server:
        print(f"http://{args.host}:{server.server_port}/  (Ctrl-C ends it)")
        print(unknown_line(folder, read_result(folder)), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
