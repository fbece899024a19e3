# Daemons: start, look, stop.
#
# DEV/pid/NAME holds "PID START-TIME SIGNATURE". The start time (of /proc/PID/stat)
# makes sure that a number the system has given to somebody else is never killed;
# the signature is a hash of what was started, to see what must be restarted.
# shellcheck shell=bash

PID=0           # of the process that `running` found
SIGNATURE=      # and what it was started as

# start_time PID: sets START_TIME; fails for a process that is gone or a zombie
# (in a container nobody may reap what was orphaned).
START_TIME=
start_time() {
    local stat
    { read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null || [ -n "${stat:-}" ] || return 1
    # The name may contain blanks and brackets: count from its end.
    # shellcheck disable=SC2086  # split into words on purpose
    set -- ${stat##*)}
    case $1 in Z|X) return 1 ;; esac
    START_TIME=${20}
}

running() {
    local pid start signature
    PID=0 SIGNATURE=
    { read -r pid start signature <"$DEV/pid/$1"; } 2>/dev/null || return 1
    [ -n "$start" ] && start_time "$pid" && [ "$START_TIME" = "$start" ] || return 1
    PID=$pid SIGNATURE=$signature
}

# spawn NAME ENVIRONMENT-ARRAY SIGNATURE COMMAND...: a daemon of the run user, with
# no environment but that array, in its own session, output in LOG/NAME.log.
spawn() {
    local name=$1 signature=$3
    local -n spawn_environment=$2
    shift 3
    if [ "$(stat -c %s "$LOG/$name.log" 2>/dev/null || echo 0)" -gt 20000000 ]; then
        mv -f -- "$LOG/$name.log" "$LOG/$name.log.old"
    fi
    (
        trap - EXIT
        exec </dev/null >>"$LOG/$name.log" 2>&1
        start_time "$BASHPID"
        # Before anything else, and still under the lock: killed at any point,
        # ./dev leaves no daemon without a pid file.
        printf '%s %s %s\n' "$BASHPID" "$START_TIME" "$signature" >"$DEV/pid/$name"
        close_descriptors
        cd "$RUN"
        umask 022
        clear_environment
        export "${spawn_environment[@]}"
        # exec all the way: the process keeps its number and start time.
        if [ "$EUID" -eq 0 ]; then
            exec setsid setpriv --reuid "$RUN_USER" --regid "$RUN_USER" --init-groups -- "$@"
        fi
        exec setsid "$@"
    ) &
    # It counts as running as soon as this returns.
    wait_until 60000 has_signed_in "$name" $! || die "$name does not start"
}
has_signed_in() {
    local pid
    { read -r pid _ <"$DEV/pid/$1"; } 2>/dev/null && [ "$pid" = "$2" ] && return
    [ -d "/proc/$2" ] || return 0   # gone already: its log tells why
    return 1
}

# A daemon must not keep the caller's pipes open, nor the lock.
close_descriptors() {
    local fd
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        [ "$fd" -le 2 ] || eval "exec $fd>&-"
    done
}

clear_environment() {
    local name
    for name in $(compgen -e); do
        case $name in PATH) ;; *) unset "$name" 2>/dev/null || : ;; esac
    done
    export PATH=/usr/local/bin:/usr/bin:/bin
}

# await NAME MILLISECONDS COMMAND...: until COMMAND succeeds; fails at once when NAME dies.
await() {
    local name=$1 limit=$2
    shift 2
    wait_until "$limit" alive_and "$name" "$@"
}
# Looks for NAME before and after: its port may be answered by somebody else.
alive_and() {
    local name=$1
    shift
    running "$name" || return 2
    "$@" || return 1
    running "$name" || return 2
}

# show_log NAME: its last words, for a failure message.
show_log() {
    warn "the end of $LOG/$1.log:"
    tail -n 15 -- "$LOG/$1.log" 2>/dev/null | sed 's/^/    /' >&2
}

# stop SIGNAL NAME...: ends them all together, and what they left behind.
# A second signal after STOP_GRACE says: now. SIGKILL at the deadline.
STOP_GRACE=6000
ENDED=()
stop() {
    local signal=$1 name
    shift
    declare -A stopping=()
    for name in "$@"; do
        running "$name" || { rm -f -- "$DEV/pid/$name"; continue; }
        stopping[$PID]="$START_TIME"
        remember_descendants "$PID" stopping
        kill -s "$signal" "$PID" 2>/dev/null || :
    done
    [ ${#stopping[@]} -gt 0 ] || return 0
    ENDED+=("${!stopping[@]}")
    if ! wait_until "$STOP_GRACE" all_gone stopping; then
        for name in "$@"; do
            ! running "$name" || kill -s "$signal" "$PID" 2>/dev/null || :
        done
        wait_until $((STOP_GRACE / 2)) all_gone stopping || kill_rest stopping
    fi
    wait_until 60000 all_gone stopping || die "some processes do not end: ${!stopping[*]}"
    for name in "$@"; do rm -f -- "$DEV/pid/$name"; done
}

# Where init is slow, what has ended stays as a zombie for a moment. Whoever looks
# after `down` shall not find it; where nobody reaps at all, that has to do.
wait_for_init() { wait_until 3000 all_reaped || :; }
all_reaped() {
    local pid
    for pid in "${ENDED[@]}"; do [ ! -d "/proc/$pid" ] || return 1; done
}

# remember_descendants PID MAP: children may outlive a parent that was killed.
remember_descendants() {
    local -n found=$2
    local queue=("$1") pid parent
    declare -A children=()
    while read -r pid parent; do
        children[$parent]+=" $pid"
    done < <(ps -e -o pid= -o ppid=)
    while [ ${#queue[@]} -gt 0 ]; do
        for pid in ${children[${queue[0]}]:-}; do
            start_time "$pid" || continue
            found[$pid]=$START_TIME
            queue+=("$pid")
        done
        queue=("${queue[@]:1}")
    done
}

# all_gone MAP: takes what has ended out of the map.
all_gone() {
    local -n waiting=$1
    local pid
    for pid in "${!waiting[@]}"; do
        if ! start_time "$pid" || [ "$START_TIME" != "${waiting[$pid]}" ]; then
            unset "waiting[$pid]"
        fi
    done
    [ ${#waiting[@]} -eq 0 ]
}

kill_rest() {
    local -n left=$1
    local pid
    for pid in "${!left[@]}"; do
        if start_time "$pid" && [ "$START_TIME" = "${left[$pid]}" ]; then
            kill -KILL "$pid" 2>/dev/null || :
        fi
    done
}

# kill_strays DIRECTORY: what still works in there. An executor that was killed
# cannot end its agents; nobody else has a reason to be in its folders, but a
# person's shell (which has a terminal).
kill_strays() {
    local dir=$1 process cwd stat
    while read -r process cwd; do
        case $cwd/ in "$dir"/*) ;; *) continue ;; esac
        process=${process%/cwd} stat=
        read -r -d '' stat 2>/dev/null <"$process/stat" || :
        # shellcheck disable=SC2086
        set -- ${stat##*)}
        [ "${5:-0}" = 0 ] || continue
        kill -KILL "${process##*/}" 2>/dev/null || :
    # All at once: one readlink a process takes a loaded machine half a minute.
    done < <(find /proc/[0-9]*/cwd -maxdepth 0 -printf '%p %l\n' 2>/dev/null || :)
}
