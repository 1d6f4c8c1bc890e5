#!/bin/bash
# Space words of W&B, Ray Tune and Hydra: the error names the right word of ours.
. "$(dirname "$0")/lib.sh"
cat > "$W/in" <<'J'
["sweep","arrows4","--dry-run","--set","optimizer.lr={log_uniform: [1e-4, 1e-2]}"]
["sweep","arrows4","--dry-run","--set","optimizer.lr={distribution: log_uniform_values, min: 1e-4, max: 1e-2}"]
["sweep","arrows4","--dry-run","--set","optimizer.lr={values: [1e-3, 1e-2]}"]
["sweep","arrows4","--dry-run","--set","optimizer.lr={grid_search: [1e-3, 1e-2]}"]
["sweep","arrows4","--dry-run","--set","model.H_cycles={randint: [1, 3]}"]
J
lines 2 5 && [ "$(sed 's/.*"said"//; s/{[^}]*}//' "$W/o" | grep -cE '\{(loguniform|choice|int): \[')" = 5 ]
