"""Sweeps into an S3 bucket: workers exchange checkpoints with it, the command line takes URIs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pyarrow.fs import FileSelector

from search.cli import main
from search.engine.job import Job, build_trainer
from search.ledger.files import write_atomically
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger, read_curves, read_trials
from search.ledger.storage import Place, Remote, place
from tests.support.folders import ROOT

Uri = Callable[[str], str]
MARKS = (0.25, 0.5, 0.75, 1.0)
FACTORY = "tests.support.toy_training:ToyTraining"

DRIVER = """
import sys
from cluster.connect import connected
from search.engine.ray_tune import run_trials
from search.ledger.ledger import Ledger
uri, here, configs = sys.argv[1], sys.argv[2], eval(sys.argv[3])
from tests.support.sources import FixedSource, add_trials
with Ledger.create(uri) as ledger:
    add_trials(ledger, configs)
    with connected(cpus=2):
        run_trials(
            FixedSource(ledger), ledger, parallel=2, budget=1e9, marks=(0.25, 0.5, 0.75, 1.0),
            path=[here], factory="tests.support.toy_training:ToyTraining",
        )
"""

TINY = """
name: tiny
task: {name: arrows, size: 3, visited: [2, 4], train_examples: 150, valid_examples: 40,
       test_examples: 40}
model: {mixer: mlp_t, hidden_size: 16, L_layers: 1, expansion: 1.0, swiglu_multiple: 16,
        puzzle_emb_len: 1, halt_max_steps: 2, H_cycles: 1, L_cycles: 1}
optimizer: {name: adamw, lr_warmup_steps: 5, lr: {loguniform: {low: 1e-3, high: 3e-2}}}
train: {batch_size: 32, budget: {steps: 16}, reports: 2, ema: null}
search: {trials: 2, objective: cell_accuracy}
stability: {candidates: 1, seeds: 2, promise_seeds: 2}
"""


def objects(where: Remote) -> list[str]:
    """Names of everything below, relative to the run."""
    found = where.filesystem.get_file_info(FileSelector(where.path, recursive=True))
    return sorted(info.path.removeprefix(where.path + "/") for info in found if info.is_file)


def undisturbed(config: dict[str, Any], seed: int, folder: Path) -> list[dict[str, Any]]:
    """The curve of a config, trained here without Ray."""
    job = Job(str(folder), 0, 1, config, seed, 1e9, MARKS, path=(str(ROOT),), factory=FACTORY)
    random.seed(seed)
    return [report.row() for report in build_trainer(job).run()]


def trm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "search.cli", *words], capture_output=True, text=True, timeout=500
    )


def test_workers_upload_and_download_checkpoints(uri: Uri, tmp_path: Path) -> None:
    configs: list[dict[str, Any]] = [{}, {"die": "once", "at": 3}, {"crash": 1}, {"prune": 2}]
    command = [sys.executable, "-c", DRIVER, uri("run"), str(ROOT), repr(configs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    where = place(uri("run"))
    assert isinstance(where, Remote)
    with Ledger.open(where) as ledger:
        trials = ledger.trials
        assert [t.outcome for t in trials.values()] == [
            "completed",
            "completed",
            "crashed",
            "pruned",
        ]
        assert [t.attempts for t in trials.values()] == [1, 2, 1, 1]
        assert trials[1].provenance["went_on_from"] == 2
        for number, trial in trials.items():
            config = {k: v for k, v in trial.config.items() if k != "die"}
            if "crash" not in config:
                rows = [
                    {k: v for k, v in row.items() if k not in ("trial", "attempt")}
                    for row in ledger.curve(number)
                ]
                expected = undisturbed(config, trial.seed, tmp_path)[: trial.mark]
                assert json.dumps(rows) == json.dumps(expected)
    kept = [name for name in objects(where) if name.startswith("checkpoints/")]
    assert kept == sorted(f"{t.checkpoint}/state.json" for t in trials.values())
    assert "a wilful" in (where / "logs" / "2" / "1.txt").read_text()
    others = {name.partition("/")[0] for name in objects(where)}
    own = {"attempts", "checkpoints", "curves", "log", "logs", "spare", "trials"}
    assert others == own | {"died-1"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.mark.slow
def test_the_command_line_takes_uris(
    uri: Uri, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = uri("runs/tiny")
    done = trm("sweep", str(tiny), "--out", run)
    assert done.returncode == 0, done.stderr
    assert f"trm export '{run}' --out best.yaml" in done.stdout
    where = place(run)
    assert isinstance(where, Remote)
    names = set(objects(where))
    assert {"best.yaml", "result.json", "run.json", "sweep.yaml", "test.json"} <= names
    assert not {"lease.json", "study.log"} & names
    table = ds.dataset((where / "trials").path, filesystem=where.filesystem).to_table()
    assert Counter(table["stage"].to_pylist())["explore"] == 2
    assert main(["status", run, "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert state["run"] == run
    assert state["result"]["promise"]["seeds"]
    assert main(["status", run]) == 0
    assert "winner: trial" in capsys.readouterr().out
    best = tmp_path / "best.yaml"
    assert main(["export", run, "--out", str(best)]) == 0
    assert best.read_text() == (where / "best.yaml").read_text()
    capsys.readouterr()
    assert main(["sweep", str(tiny), "--out", run]) == 2
    assert "already holds a run: add --resume" in capsys.readouterr().err


def expire(where: Place, at: float) -> None:
    """Have a dead driver's lease end at a time, however long it takes to start the next one."""
    lease = where / "lease.json"
    write_atomically(lease, json.dumps({**json.loads(lease.read_text()), "expires": at}))


@pytest.mark.slow
def test_a_killed_sweep_goes_on_once_its_lease_has_expired(uri: Uri, tiny: Path) -> None:
    run = uri("run")
    sets = ("--set", "train.budget.steps=3000", "--set", "train.reports=6")
    words = ("sweep", str(tiny), "--out", run, "--resume", *sets)
    driver = subprocess.Popen([sys.executable, "-m", "search.cli", *words])
    where = place(run)
    end = time.monotonic() + 200
    while time.monotonic() < end:
        if holds_ledger(where) and any(t.mark >= 2 for t in read_trials(where).values()):
            break
        assert driver.poll() is None
        time.sleep(0.2)
    driver.kill()
    driver.wait()
    before = read_trials(where)
    expire(where, time.time() + 1000)
    refused = trm(*words)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"is in use by process {driver.pid}, whose lease runs for" in refused.stderr
    expire(where, time.time() - 1)
    done = trm(*words)
    assert done.returncode == 0, done.stderr
    trials = read_trials(where)
    assert all(
        trial.mark >= before[number].mark for number, trial in trials.items() if number in before
    )
    assert {trial.outcome for trial in trials.values()} <= {"completed", "pruned"}
    table = read_curves(where).to_pydict()
    assert max(Counter(zip(table["trial"], table["mark"], strict=True)).values()) == 1
    assert any(a > 1 and m > 1 for a, m in zip(table["attempt"], table["mark"], strict=True))
    # A finished run is extended.
    done = trm(*words, "--trials", "3")
    assert done.returncode == 0, done.stderr
    more = read_trials(where)
    assert sum(trial.stage == "explore" for trial in more.values()) == 3
    assert {number: more[number] for number in trials} == trials


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("s4://bucket/run", "Unrecognized filesystem type"),
        ("s3:///run", "Missing bucket name"),
        ("s3://no-such-bucket/run?endpoint_override=SERVER&scheme=http", "does not exist"),
        ("s3://BUCKET/nothing-here?endpoint_override=SERVER&scheme=http", "holds no sweep"),
    ],
)
def test_bad_uris_end_in_one_line_and_code_2(
    run: str, message: str, uri: Uri, s3_server: str, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = uri("x").removeprefix("s3://").partition("/")[0]
    run = run.replace("SERVER", s3_server).replace("BUCKET", bucket)
    commands = [["status", run], ["export", run], ["stability", run], ["compare", run, run]]
    if "nothing-here" not in run:
        commands.append(["sweep", str(tiny), "--out", run])
    for words in commands:
        assert main(words) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"trm: error: {run}")
        assert message in printed.err
        assert printed.err.count("\n") == 1
