"""The demo, several times: what it takes, who wins and by how much, and whether its page is whole.

    python -m tests.benchmarks demo                                # five seeds, on an idle machine
    python -m tests.benchmarks.demo FOLDER --seeds 100 200         # wherever, whatever its load
    python -m tests.benchmarks.demo FOLDER --seeds 100 --quick     # the first look

Every run is `make demo` as a user types it, with a seed of its own, and one JSON file in FOLDER;
what has a file is not run again, and a run that was cut off begins anew. Seeds lie 100 apart, so
that no two runs share a training. CPU time is that of all its processes, Ray's included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.ledger.ledger import read_trials
from search.report.facts import read_facts
from search.report.write import sections
from search.stability.result import read_result
from tests.benchmarks.demo_sweep import cpu_seconds_of
from tests.benchmarks.rest import require_rest
from tests.support.folders import ROOT
from tests.support.whole_page import lacking

SEEDS = (100, 200, 300, 400, 500)
LEAST_PROMISED = 0.9

Run = Mapping[str, Any]


def measure(folder: Path, seed: int, *, quick: bool) -> dict[str, Any]:
    """Run the demo into a folder of its own, and read there what came of it."""
    rest = require_rest(anyway=True)
    words = ["make", "--no-print-directory", "demo", f"RUN={folder}", f"SEED={seed}"]
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            [*words, *(["QUICK=1"] if quick else [])], cwd=ROOT, stdout=told, stderr=told, text=True
        )
        cpu = cpu_seconds_of(process)
        wall = time.perf_counter() - begun
        told.seek(0)
        text = told.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}:\n{text[-4000:]}")
    return {
        "seed": seed, "quick": quick, "wall": wall, "cpu": cpu, "rest": rest,
        "told": text.splitlines()[-6:], **outcome(folder),
    }  # fmt: skip


def outcome(folder: Path) -> dict[str, Any]:
    """What came of a run."""
    result, trials = read_result(folder), read_trials(folder)
    assert result is not None
    winner = trials[result.winner]
    explored = [trial for trial in trials.values() if trial.stage == "explore"]
    return {
        "trials": len(explored),
        "whole": sum(trial.completed for trial in explored),
        "flops": sum(trial.compute for trial in trials.values()),
        "finalists": len(result.candidates),
        "winner": winner.params,
        "depth": [winner.config["model"][name] for name in ("H_cycles", "L_cycles")],
        "promise": asdict(result.promise),
        "reference": asdict(result.reference),
        "page_mb": (folder / "report.html").stat().st_size / 1e6,
        "lacking": lacking(sections(read_facts(folder))),
    }


def table(results: Sequence[Run]) -> Iterator[str]:
    """A row a run."""
    yield (
        "| seed | wall s | CPU s | a busy loop got before | trials, to the end | winner "
        "| promised, and its seeds | test | lost at 16x | the defaults' seeds | page lacks |"
    )
    yield "|" + "---|" * 11
    for run in results:
        promise, reference = run["promise"], run["reference"]
        deeper = promise["deeper"]
        yield (
            f"| {run['seed']} | {run['wall']:.0f} | {run['cpu']:.0f} | {run['rest']:.0%} "
            f"| {run['trials']}, {run['whole']} | {_config(run)} "
            f"| {promise['low']:.3f} to {promise['high']:.3f}: {_scores(promise)} "
            f"| {sum(promise['test']) / len(promise['test']):.3f} "
            f"| {'' if deeper is None else format(deeper['mean'], '.3f')} "
            f"| {_scores(reference)} | {', '.join(run['lacking']) or 'nothing'} |"
        )


def verdicts(results: Sequence[Run]) -> Iterator[str]:
    """What must be so in every run, and in how many it is."""
    checks = {
        f"the winner's mean is at least {LEAST_PROMISED}": [
            run["promise"]["mean"] >= LEAST_PROMISED for run in results
        ],
        "it is better than the defaults' mean": [
            run["promise"]["mean"] > run["reference"]["mean"] for run in results
        ],
        "its worst seed is better than their best": [
            min(run["promise"]["scores"]) > max(run["reference"]["scores"]) for run in results
        ],
        "it recurses (H x L above 1)": [run["depth"][0] * run["depth"][1] > 1 for run in results],
    }
    whole = [run for run in results if not run["quick"]]
    if whole:  # a first look has less of both
        checks["at least 12 trials ran to the end"] = [run["whole"] >= 12 for run in whole]
        checks["the page is whole"] = [not run["lacking"] for run in whole]
    for what, held in checks.items():
        yield f"- {what}: {sum(held)} of {len(held)}"


def _config(run: Run) -> str:
    values = {name.split(".")[-1]: value for name, value in run["winner"].items()}
    depth = f"H {run['depth'][0]} x L {run['depth'][1]}"
    others = (
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
        if name not in ("H_cycles", "L_cycles")
    )
    return ", ".join((depth, *others))


def _scores(promise: Mapping[str, Any]) -> str:
    return " ".join(f"{score:.3f}" for score in promise["scores"])


def main(arguments: Sequence[str] = ("runs/benchmark-demo",)) -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="of the runs and their results")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--quick", action="store_true", help="`make demo QUICK=1`")
    args = parser.parse_args(arguments)
    folder = args.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in args.seeds:
        name = f"{'quick' if args.quick else 'demo'}-{seed}"
        path = folder / f"{name}.json"
        if not path.exists():
            print(name, file=sys.stderr, flush=True)
            shutil.rmtree(folder / name, ignore_errors=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(measure(folder / name, seed, quick=args.quick)) + "\n")
            partial.rename(path)
        results.append(json.loads(path.read_text()))
    print("\n".join([*table(results), "", *verdicts(results)]))


if __name__ == "__main__":
    main(sys.argv[1:])
