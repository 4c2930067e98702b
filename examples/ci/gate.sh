#!/bin/sh
# A resiliency gate for any pipeline that can run a script. Arguments are those of `squall run`:
#
#   examples/ci/gate.sh chaos/*.yaml --tag gate --baseline last --stack compose.yaml
#
# The reports, junit.xml and summary.md are in $SQUALL_STATE (default: squall). The exit code is that of the experiments, or 4
# where a rollback is incomplete after all.
set -u
SQUALL_STATE=${SQUALL_STATE:-squall}
export SQUALL_STATE
mkdir -p "$SQUALL_STATE"

squall run "$@" --junit "$SQUALL_STATE/junit.xml" --summary "$SQUALL_STATE/summary.md"
code=$?

# Normally there is nothing to do: a run takes itself back, and its guard does where it was killed.
squall recover || code=4
exit "$code"
