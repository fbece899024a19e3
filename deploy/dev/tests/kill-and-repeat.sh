#!/bin/bash
# ./dev up, killed at many moments and run again, works; ./dev down, killed and run
# again, leaves no process. Two systems at once do not meet.
#
#     kill-and-repeat.sh [up OPTIONS]     (default: --infra, which needs no build)
set -euo pipefail

root=$(cd -- "$(dirname -- "$0")/../../.." && pwd -P)
place=$(mktemp -d /tmp/kiln-kill.XXXXXX)
[ $# -gt 0 ] || set -- --infra
failures=0

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# ours DIR: processes that ./dev started in there, by their environment.
ours() { grep -lz -- "HOME=$(readlink -f "$1/run")/home" /proc/[0-9]*/environ 2>/dev/null | wc -l || :; }

# killed_after SECONDS DIR COMMAND...: runs ./dev and kills only that process.
killed_after() {
    local delay=$1 dir=$2 pid
    shift 2
    KILN_DEV_DIR=$dir setsid "$root/dev" "$@" >"$place/killed.log" 2>&1 </dev/null &
    pid=$!
    sleep "$delay"      # the moment of the kill, not a wait
    kill -KILL "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
}

works() {
    local dir=$1
    # shellcheck disable=SC1091
    (. "$dir/env" && psql "$KILN_DATABASE_URL" -Atqc 'select 1' >/dev/null &&
        kcat -L -m 5 -b "$KILN_KAFKA_BROKERS" >/dev/null) || fail "$dir does not work"
}

dev() { KILN_DEV_DIR=$1 "$root/dev" "${@:2}" </dev/null >"$place/dev.log" 2>&1 || { cat "$place/dev.log"; fail "$*"; }; }

tidy() {
    local dir
    for dir in "$place"/a "$place"/b; do
        KILN_DEV_DIR=$dir "$root/dev" down --clean || :
    done
    rm -rf -- "$place"
}
trap tidy EXIT

dev "$place/b" up "$@"
for delay in 0.03 0.1 0.2 0.35 0.5 0.7 0.9 1.2 1.6; do
    killed_after "$delay" "$place/a" up "$@"
    dev "$place/a" up "$@"
    works "$place/a"
    killed_after 0.15 "$place/a" down
    dev "$place/a" down
    left=$(ours "$place/a")
    [ "$left" = 0 ] || fail "killed after $delay s: $left processes are left"
    [ "$delay" != 0.7 ] || { killed_after 0.08 "$place/a" down --clean; dev "$place/a" down --clean; }
done
works "$place/b"
[ "$(ours "$place/b")" -gt 0 ] || fail "the second system was harmed"

[ "$failures" -eq 0 ]
echo "killed and repeated: all well"
