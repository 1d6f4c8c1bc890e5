#!/bin/bash
# All scores equal: rank correlation is undefined; no "ranks configs badly ... 0.00 to 0.00".
. "$(dirname "$0")/lib.sh"
"$PY" - "$W" > "$W/o" 2>&1 <<'P'
import sys
from pathlib import Path
import numpy as np
from search.cli import main
from search.config.config import read_config
from search.config.plan import write_plan
from search.config.resolve import resolve_plan
from search.ledger.ledger import Ledger
from trm.report import COLUMNS
from trm.files.run_folder import cache_folder
config = read_config("arrows4")
plan = resolve_plan(config, config.default.task.build(cache_folder()))
folder = Path(sys.argv[1]) / "r"; zero = {"int": 0, "float": 0.0, "bool": False}; rng = np.random.default_rng(0)
with Ledger.create(folder) as ledger:
    write_plan(folder, plan)
    for _ in range(20):
        params, tree = plan.space.sample(rng)
        trial = ledger.add_trial(stage="explore", params=params, config=tree, seed=0); attempt = ledger.begin_attempt(trial.id)
        for m, mark in enumerate(plan.marks, 1):
            row = {name: zero[column.kind] for name, column in COLUMNS.items()} | {"mark": m, "step": m, "compute": plan.budget * mark, "progress": mark, "exact_accuracy": 0.5}
            ledger.acknowledge(trial.id, attempt, row, None, None)
        ledger.finish(trial.id, "completed", 0.5, "")
sys.exit(main(["fidelity", str(folder)]))
P
rc=$?; tail -1 "$W/o"; [ $rc = 0 ] && ! grep -q 'ranks configs badly' "$W/o"
