# Every case begins with this: $TRM is the path of `trm`, PY its Python, HERE this folder, and W a
# scratch folder that is removed at the end.
: "${TRM:?set TRM to the path of trm}"
PY="$(dirname "$TRM")/python"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
W="$(mktemp -d "${TMPDIR:-/tmp}/trm-case.XXXXXX")"
trap 'rm -rf "$W"' EXIT
export TRM_CACHE="${TRM_CACHE:-$W/cache}"

# lines RC COUNT: runs the command lines of $W/in; none may end in a traceback, COUNT with exit RC.
lines() {
  "$PY" "$HERE/cli.py" < "$W/in" > "$W/o" 2>&1
  cut -c1-300 "$W/o"
  ! grep -q TRACEBACK "$W/o" && [ "$(grep -c "\"rc\": $1," "$W/o")" = "$2" ]
}

# finished_run FOLDER: a small finished run.
finished_run() {
  cp -r "$HERE/../data/run_v1/finished" "$1"
}
