#!/bin/bash
# Odd but well-formed YAML: one line and exit 2, never a traceback.
. "$(dirname "$0")/lib.sh"
"$PY" - "$W" <<'P' > "$W/in"
import json, sys
texts = ["? [1, 2]\n: 3\n", "{{lr}}: 1\n", "model: {hidden_size: !!int abc}\n", "model: {hidden_size: !!float abc}\n",
         "train: {compile: !!bool maybe}\n", "a: " + "[" * 1500 + "]" * 1500 + "\n", "model: {hidden_size: " + "9" * 5000 + "}\n"]
for i, text in enumerate(texts):
    open(f"{sys.argv[1]}/{i}.yaml", "w").write(text)
    print(json.dumps(["sweep", f"{sys.argv[1]}/{i}.yaml", "--dry-run"]))
P
lines 2 7
