"""Write a run as one HTML page: what won, how sure that is, and why; or show it as Optuna does.

The page holds everything it shows and fetches nothing; it opens in any browser, on a phone too.
Runs that are unfinished or failed have one as well, which says what is missing; so does a folder of
`trm train`: its curve, what detectors found, and how to repeat it.

  trm report runs/mine --open
  trm report runs/mine --out report.html
  trm report runs/mine --images figures --format svg      # pip install 'trm-search[images]'

`--dashboard` writes nothing: it shows the run in Optuna's dashboard, in a browser, also while the
sweep goes on. It only reads: nothing that is clicked changes the run, and Ctrl-C ends it. Runs of a
population and at a URI have no journal to show.

  trm report runs/mine --dashboard --port 9000            # pip install 'trm-search[dashboard]'
"""

from __future__ import annotations

import argparse
from pathlib import Path

from search.commands.options import a_path, a_place
from search.report.images import FORMATS
from trm.errors import UserError


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
    parser.add_argument(
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
        help="of the dashboard; 0 takes a free one (default: 8080)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page, or serve the dashboard until Ctrl-C; returns the exit code."""
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


def _serve(args: argparse.Namespace) -> int:
    from search.logs.dashboard import dashboard_server

    for option in ("out", "open", "images"):
        if getattr(args, option):
            raise UserError("--dashboard", None, f"writes no page: leave --{option} out")
    with dashboard_server(Path(args.run), args.host, args.port) as server:
        print(f"http://{args.host}:{server.server_port}/  (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
