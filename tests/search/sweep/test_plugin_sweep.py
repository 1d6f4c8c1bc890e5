"""A config that uses a plug-in of each kind, through the commands, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.plugin_folder import EXAMPLES, install
from trm.files.yaml12 import parse_yaml

TRM = Path(sys.executable).with_name("trm")
INSTALLED = "parity_task"
"""The plug-in that comes with a package, by an entry point; the others lie beside the YAML."""

EVERY = """
name: every
plugins: {plugins}
task: {{name: parity, bits: 6}}
model:
  {{mixer: shift, pos_encodings: sine, hidden_size: 16, num_heads: 2, L_layers: 1, H_cycles: 2,
   L_cycles: 2, expansion: 1.0, swiglu_multiple: 16, puzzle_emb_len: 1, halt_max_steps: 3}}
halting: {{name: patient, least: 2}}
loss: {{loss_type: focal}}
optimizer: {{name: lion, lr: {{loguniform: [1.0e-3, 1.0e-2]}}, lr_warmup_steps: 2}}
curriculum: wave
train: {{batch_size: 8, budget: {{steps: 12}}, reports: 2, ema: null}}
diagnostics: {{stalled: {{fall: 1.0}}}}
search:
  trials: 3
  sampler: {{name: nearby, n_startup_trials: 2}}
  scheduler: {{name: worst, least: 1}}
stability: {{candidates: 1, seeds: 1, promise_seeds: 2}}
log: {{sinks: [csv]}}
cluster: {{parallel: 2}}
"""


class World:
    """A working directory, a folder of configs beside it, and where packages are installed."""

    def __init__(self, root: Path) -> None:
        self.work, self.configs, self.site = root / "work", root / "configs", root / "site"
        self.work.mkdir()
        shutil.copytree(EXAMPLES, self.configs, ignore=shutil.ignore_patterns("__pycache__"))
        install(self.site, "their-tasks", {"parity": INSTALLED})
        (self.configs / f"{INSTALLED}.py").rename(self.site / f"{INSTALLED}.py")
        names = sorted(file.stem for file in self.configs.glob("*.py"))
        (self.configs / "every.yaml").write_text(EVERY.format(plugins=json.dumps(names)))

    def trm(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command in the working directory, in a new process."""
        environment = {**os.environ, "PYTHONPATH": str(self.site), "COLUMNS": "200"}
        done = subprocess.run(
            [TRM, *words], cwd=self.work, env=environment, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_training_with_all_kinds(world: World) -> None:
    done = world.trm("train", "../configs/every.yaml", "--out", "trained", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2
    assert rows[-1]["findings"] >= 1
    tree = parse_yaml((world.work / "trained" / "config.yaml").read_text(), "config.yaml")
    assert tree["halting"] == {"name": "patient", "least": 2, "margin": 0.0}
    assert tree["task"]["name"] == "parity"


def test_a_wrong_plugin_is_one_line(world: World) -> None:
    plugin = world.configs / "focal_loss.py"
    plugin.write_text(plugin.read_text().replace("* entropy\n", "* entropy.mean()\n", 1))
    plugin.write_text(plugin.read_text().replace("return (", "return 0.0 * entropy / entropy + ("))
    done = world.trm("sweep", "../configs/every.yaml", "--dry-run", code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("trm: error: loss 'focal': ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_sweep_with_all_kinds(world: World) -> None:
    world.trm("sweep", "../configs/every.yaml", "--out", "run")
    run = world.work / "run"
    assert len(list((run / "csv").glob("*.csv"))) == 3 + 1 + 2
    plugin = world.configs / "lion_optimizer.py"
    plugin.write_text(plugin.read_text() + "\n# Another code, the same optimiser.\n")
    again = ("sweep", "../configs/every.yaml", "--out", "run", "--resume", "--trials", "4")
    (line,) = [line for line in world.trm(*again).stderr.splitlines() if "plug-in" in line]
    assert line.startswith("trm: warning: plug-in lion_optimizer: 6 trial(s) of this run ran with")
    assert (run / "csv" / "explore-00006.csv").is_file()
    # What reads the run needs no plug-in, and imports none.
    shutil.rmtree(world.site)
    for file in world.configs.glob("*.py"):
        file.write_text("raise RuntimeError('was imported')")
    for file in world.configs.glob("*.py"):
        shutil.copy(file, world.work)
        shutil.copy(file, run)
    told = world.trm("status", "run").stdout
    assert "stalled" in told
    assert "lion_optimizer" not in told
    world.trm("report", "run")
    page = (run / "report.html").read_text()
    assert "stalled at 100" in page
    assert "plugin lion_optimizer" in page
    exported = parse_yaml(world.trm("export", "run").stdout, "best.yaml")
    assert exported["model"]["mixer"] == "shift"
    assert exported["curriculum"] == {"name": "wave"}
    assert exported["plugins"]
