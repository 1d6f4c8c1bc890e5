#!/bin/bash
# --parallel 64 on a machine with fewer cores: the dry run's time must not shrink with workers that have no core of their own.
. "$(dirname "$0")/lib.sh"; c=$(nproc)
"$PY" - "$c" <<'P' > "$W/o" 2>&1
import sys
from search.config.config import read_config
from search.sweep.dry_run import dry_run, text
from trm.files.run_folder import cache_folder
config, cores = read_config("arrows4"), int(sys.argv[1])
for parallel in (cores, 32 * cores):
    found = dry_run(config, parallel=parallel, build=lambda one: one.task.build(cache_folder(), None))
    print(parallel, [line for line in text(found).split("\n") if line.startswith("in all")][0][-60:])
P
cat "$W/o"; a=$(sed -n 1p "$W/o" | grep -oE 'about .* with'); b=$(sed -n 2p "$W/o" | grep -oE 'about .* with'); echo "$a | $b"
grep -q 'cores' <(sed -n 2p "$W/o") || [ "${a%with}" = "${b%with}" ]
