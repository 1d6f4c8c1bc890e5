#!/bin/bash
# A page of a Parquet file is damaged while its footer is whole: one line that names the file.
. "$(dirname "$0")/lib.sh"
for f in trials curves; do finished_run "$W/$f"
  "$PY" - "$W/$f/$f/000000.parquet" <<'P'
import sys
path = sys.argv[1]; data = bytearray(open(path, "rb").read()); third = len(data) // 3
for i in [*range(200, 260), *range(third, third + 40)]: data[i] ^= 0xFF
open(path, "wb").write(data)
P
  echo "[\"status\",\"$W/$f\"]" >> "$W/in"
done
"$PY" "$HERE/cli.py" < "$W/in" > "$W/o" 2>&1; cut -c1-300 "$W/o"
! grep -q TRACEBACK "$W/o" && [ "$(grep -c '"rc"' "$W/o")" = 2 ]
