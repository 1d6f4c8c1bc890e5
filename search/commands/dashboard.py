"""Show a run in Optuna's dashboard, in a browser; also while the sweep goes on.

Needs `pip install 'trm-search[dashboard]'`. It only reads: nothing that is clicked changes the
run, and Ctrl-C ends it. Runs of a population and at a URI have no journal to show.

  trm dashboard runs/mine
  trm dashboard runs/mine --port 9000
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm dashboard`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder of `trm sweep`")
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="where to listen; 0.0.0.0 lets other machines look too (default: 127.0.0.1)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: 8080)")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    from search.logs.dashboard import dashboard_server

    with dashboard_server(args.run, args.host, args.port) as server:
        print(f"http://{args.host}:{server.server_port}/  (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
