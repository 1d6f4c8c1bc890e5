#!/bin/bash
# A container started with `--user 12345` and no HOME: reading a run works.
. "$(dirname "$0")/lib.sh"; finished_run "$W/r"; chmod -R a+rX "$W"; unset TRM_CACHE XDG_CACHE_HOME
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
timeout 400 env -u HOME setpriv --reuid 12345 --regid 12345 --clear-groups "$TRM" status "$W/r" >"$W/o" 2>&1; rc=$?
echo "exit $rc: $(tail -1 "$W/o")"; [ $rc = 0 ]
