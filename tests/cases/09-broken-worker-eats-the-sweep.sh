#!/bin/bash
# After a sticky CUDA error every later trial in that worker fails (its context is gone): the worker must be replaced.
. "$(dirname "$0")/lib.sh"
timeout -k 5 560 "$PY" "$HERE/toy.py" "$W/r" '[{"sleep":0.5,"sticky":1},{"sleep":0.1},{"sleep":0.1},{"sleep":0.1},{"sleep":0.1},{"sleep":0.1}]' 1 >"$W/o" 2>&1
grep -v '^connected' "$W/o"; n=$(grep -c crashed "$W/o"); echo "crashed: $n of 6 (1 is right)"; [ "$n" = 1 ]
