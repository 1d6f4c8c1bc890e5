#!/bin/bash
# Copies that sync tools and file managers leave (`000000 (1).parquet`): skip them, or say so in one line.
. "$(dirname "$0")/lib.sh"; i=0
for n in "trials/000000 (1).parquet" "curves/000000 copy.parquet" "trials/000000.sync-conflict-20260101-000000-ABCDEFG.parquet"; do
  i=$((i+1)); finished_run "$W/r$i"; cp "$W/r$i/${n%%/*}/000000.parquet" "$W/r$i/$n"; echo "[\"status\",\"$W/r$i\"]" >> "$W/in"
done
lines 0 3
