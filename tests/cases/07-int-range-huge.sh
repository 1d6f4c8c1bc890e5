#!/bin/bash
# Whole-number ranges beyond 1e28 steps and beyond floats: one line.
. "$(dirname "$0")/lib.sh"
"$PY" - <<'P' > "$W/in"
import json
for n in (30, 400): print(json.dumps(["sweep", "arrows4", "--dry-run", "--set", "optimizer.lr_warmup_steps={int: [1, 1%s]}" % ("0" * n)]))
P
lines 2 2
