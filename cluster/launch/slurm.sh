#!/bin/bash
# A sweep on Slurm, written by `trm cluster slurm`. Start it with
#     sbatch THIS_FILE
# and look at it with `squeue --me` and `trm status RUN`. To stop it so that it can go on later:
#     scancel --batch --signal=TERM JOB
# Every start goes on with the run folder if one is there: nothing is lost by starting it again.
#
# What to ask Slurm for (`man sbatch` says more):
{{sbatch}}

set -u # no -e: exit codes are looked at below

python={{python}}
config={{config}}
out={{out}}
warning_seconds={{warning}}
requeue={{requeue}}

{{modules}}# One Ray node on each machine, with ports, files and a token of this job alone: another Ray on the
# machine is neither joined nor stopped. The token is drawn now and lives in the environment only.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$("$python" -c 'import secrets; print(secrets.token_hex(32))') || exit 1
export SLURM_EXPORT_ENV=ALL
mark=$SLURM_JOB_ID
nodes=$SLURM_JOB_NUM_NODES
address=$("$python" -P -m cluster.launch.node address "$SLURMD_NODENAME") || exit 1

say() { echo "trm: $(date +%T) $*"; }

everywhere() { # the same command once on each machine, beside the steps that run there
  srun --overlap --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 --cpu-bind=none \
    --kill-on-bad-exit=0 "$@"
}

# shellcheck disable=SC2016 # these variables are those of each machine
everywhere bash -c '
  role=()
  if [ "$SLURM_NODEID" = 0 ]; then role=(--head); fi
  exec "$0" -P -m cluster.launch.node start "$1" "$2" "${role[@]}" --cpus {{cpus}} --gpus {{gpus}}
' "$python" "$address" "$mark" &
ray=$!

finish() { # ends Ray on every machine at once; by itself it would wait a minute for its head
  timeout 20 srun --overlap --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \
    --cpu-bind=none "$python" -P -m cluster.launch.node end "$mark"
  kill -TERM "$ray" 2>/dev/null
  wait "$ray" 2>/dev/null
}

driver=
again=0     # whether to be queued again
signalled=0
on_limit() { # Slurm says that the time limit is near: the sweep writes its checkpoints and ends
  say "$warning_seconds s to the time limit: stopping the sweep"
  again=$requeue signalled=1
  if [ -n "$driver" ]; then kill -TERM "$driver" 2>/dev/null; fi
}
on_end() { # somebody wants the job to end
  say "SIGTERM: stopping the sweep"
  again=0 signalled=1
  if [ -n "$driver" ]; then kill -TERM "$driver" 2>/dev/null; fi
}
trap on_limit USR1
trap on_end TERM

ended() { # waits for a process, also when signals come meanwhile; its exit code
  local code
  while :; do
    signalled=0
    wait "$1"; code=$?
    [ "$signalled" = 1 ] || return "$code"
    stopped=1
  done
}

stopped=0
"$python" -P -m cluster.launch.node wait "$address" "$nodes" 120 &
ended $!
code=$?
if [ "$code" != 0 ]; then
  say "Ray did not start on $SLURMD_NODENAME; what it said is above"
elif [ "$stopped" = 1 ]; then
  code=130
else
  {{sweep}} &
  driver=$!
  ended "$driver"
  code=$?
fi
if [ "$code" != 0 ] && [ "$code" != 2 ] && ! kill -0 "$ray" 2>/dev/null; then
  say "Ray has ended before the sweep"
  if [ "${SLURM_RESTART_COUNT:-0}" -lt 10 ]; then again=$requeue; fi
fi
finish

if [ "$again" = 1 ] && [ "$code" != 0 ]; then
  say "queued again; the run goes on from its checkpoints"
  scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
exit "$code"
