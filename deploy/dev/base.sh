# Messages, time, and small things every other part uses.
# shellcheck shell=bash

say()  { printf '%s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
warn() { printf 'dev: %s\n' "$*" >&2; }
die()  { warn "$*"; exit 1; }
fail_usage() { warn "$*"; exit 2; }

# wants_help ARGUMENTS...: is one of them a wish for help?
wants_help() {
    local argument
    for argument; do
        case $argument in -h|--help) return 0 ;; esac
    done
    return 1
}

# now_ms: sets NOW_MS. A variable instead of output, since a subshell per
# poll would cost more than what is polled.
NOW_MS=0
now_ms() { local t=${EPOCHREALTIME/[.,]/}; NOW_MS=$((t / 1000)); }

# wait_until MILLISECONDS COMMAND...: polls until COMMAND succeeds.
# Returns 1 at the deadline, 2 at once when COMMAND says "never" by exit 2.
wait_until() {
    local limit=$1 end rc
    shift
    now_ms; end=$((NOW_MS + limit))
    while :; do
        rc=0
        "$@" || rc=$?
        case $rc in 0) return 0 ;; 2) return 2 ;; esac
        now_ms
        [ "$NOW_MS" -lt "$end" ] || return 1
        sleep 0.05
    done
}

# step TEXT COMMAND...: runs a long step with its time; its output only on failure.
step() {
    local text=$1 start out rc=0
    shift
    now_ms; start=$NOW_MS
    out=$(mktemp)
    # First the text: a person who waits sees for what.
    printf '    %-44s ' "$text"
    "$@" >"$out" 2>&1 || rc=$?
    now_ms
    if [ $rc -eq 0 ]; then
        printf '%6d ms\n' $((NOW_MS - start))
    else
        printf 'failed\n'
        cat -- "$out" >&2
        warn "failed: $text"
    fi
    rm -f -- "$out"
    return $rc
}

# patiently COMMAND...: for what downloads. Again when it fails: the other side may be busy for a moment.
patiently() {
    local try
    for try in 1 2 3; do
        "$@" && return
        [ "$try" = 3 ] || sleep $((5 * try))
    done
    return 1
}

# took TEXT MILLISECONDS: a line like step's, for what was timed otherwise.
took() { printf '    %-44s %6d ms\n' "$1" "$2"; }

random_hex() { od -An -N "${1:-16}" -tx1 /dev/urandom | tr -d ' \n'; }

# quoted VALUE: for any POSIX shell, not only bash.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# write_file MODE PATH [own] <text: whole or not at all, never readable by others meanwhile; given to the run user, if wanted, before it is there.
write_file() {
    local temp
    temp=$(mktemp "$2.XXXXXX")
    cat >"$temp"
    chmod "$1" "$temp"
    ${3:-:} "$temp"
    mv -f -- "$temp" "$2"
}

# tcp_open PORT: somebody accepts connections there.
tcp_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

http_ok() { curl -fsS -o /dev/null --max-time 2 --noproxy '*' "$1" 2>/dev/null; }
