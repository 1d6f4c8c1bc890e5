"""Check every CUDA path and measure it, in under 10 minutes: `python -m tests.gpu`.

Needs torch 2.11 or later and what `trm` imports: no Ray, no Optuna, no pytest. `--tiny` runs the
same on the CPU, as far as a CPU can, and measures nothing that counts.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from datetime import date
from pathlib import Path

import torch

from tests.gpu.checks import CHECKS, NotHereError
from tests.gpu.speeds import table

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
MINUTES = 8.0
"""After which no measurement is begun."""


def checked(device: str) -> tuple[list[str], int]:
    """A line for each check, and how many failed."""
    lines, failed = [], 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            said = f"ok: {check(device)}"
        except NotHereError as reason:
            said = f"not run: {reason}"
        except Exception as error:  # the others are worth knowing too
            failed += 1
            said = f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        lines.append(f"- {name}: {said}")
        print(lines[-1], flush=True)
    return lines, failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny models, on the CPU")
    parser.add_argument("--device", help="default: cuda, with --tiny cpu")
    parser.add_argument("--out", type=Path, help="the result's file or folder")
    chosen = parser.parse_args()
    device = chosen.device or ("cpu" if chosen.tiny else "cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        print("tests.gpu: no CUDA device here: run it where there is one, or with --tiny")
        return 2
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    until = time.monotonic() + 60.0 * MINUTES
    torch.set_num_threads(1)
    lines, failed = checked(device)
    rows = table(device, chosen.tiny, until)
    text = "\n".join([
        f"# Training steps on {name} ({device}), {date.today()}", "",
        f"torch {torch.__version__}, `python -m tests.gpu{' --tiny' if chosen.tiny else ''}`."
        + (" Nothing here was measured on a GPU." if not device.startswith("cuda") else ""),
        "", "## Checks", "", *lines, "", "## Steps a second", "", *rows, "",
    ])  # fmt: skip
    out = chosen.out or (None if chosen.tiny else RESULTS)
    if out is not None:
        path = out / f"gpu-{date.today()}.md" if out.is_dir() else out
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")
    print(f"{len(lines) - failed} of {len(lines)} checks did not fail")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
