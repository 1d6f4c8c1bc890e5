#!/bin/bash
# A checkpoint that cannot be written once (ENOSPC) is not the config's fault: no final `crashed` with the floor score.
. "$(dirname "$0")/lib.sh"
timeout -k 5 560 "$PY" "$HERE/toy.py" "$W/r" '[{"full":1},{}]' 1 >"$W/o" 2>&1
grep -v '^connected' "$W/o"; grep -q '^1 completed' "$W/o" && ! grep -q '^0 crashed' "$W/o"
