"""Say why trainings failed, or are about to: the findings of the failure detectors, in words.

RUN is a folder of `trm sweep` or `trm train`, or a checkpoint; also while it runs. Thresholds are
those of the config's `diagnostics` section.

  trm diagnose runs/mine
  trm diagnose runs/mine --trial 7
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm diagnose`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, its URI, or a checkpoint")
    parser.add_argument("--trial", type=int, metavar="ID", help="this trial of a sweep alone")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings by trial; returns the exit code."""
    from search.analysis.diagnosis import count_findings, diagnose_folder
    from trm.diagnostics import describe

    diagnoses = diagnose_folder(args.run, args.trial)
    if args.json:
        print(json.dumps([asdict(one) for one in diagnoses]))
        return 0
    if len(diagnoses) == 1:
        print(describe(diagnoses[0].findings))
        return 0
    for one in diagnoses:
        if one.findings:
            print(f"trial {one.trial}, {one.outcome or 'unfinished'}:")
            print("  " + describe(one.findings).replace("\n", "\n  "))
    ill = sum(bool(one.findings) for one in diagnoses)
    counts = ", ".join(
        f"{n} {name.replace('_', ' ')}" for name, n in count_findings(diagnoses).items()
    )
    print(f"{ill} of {len(diagnoses)} trials have findings" + (f": {counts}" if counts else ""))
    return 0
