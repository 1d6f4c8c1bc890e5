#!/bin/bash
# SIGTERM to the whole process group (timeout(1), Slurm, systemd): a clean stop, exit 130, within 20 s.
. "$(dirname "$0")/lib.sh"
setsid "$PY" "$HERE/toy.py" "$W/r" '[{"sleep":3},{"sleep":3},{"sleep":3},{"sleep":3},{"sleep":3},{"sleep":3}]' 2 >"$W/o" 2>&1 & pid=$!
for i in $(seq 150); do grep -q connected "$W/o" && break; sleep 1; done
for i in $(seq 60); do grep -q '"k":"row"' "$W"/r/log/*.jsonl 2>/dev/null && break; sleep 1; done
s=$(date +%s); kill -TERM -- -$pid; wait $pid; rc=$?; t=$(( $(date +%s)-s )); echo "exit $rc after $t s: $(tail -1 "$W/o" | cut -c1-150)"
[ $rc = 130 ] && [ $t -le 20 ]
