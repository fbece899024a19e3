# Where things lie and who runs them.
#
#   DEV  belongs to the caller: env, log/, pid/, ports, settings, venv/
#   RUN  belongs to the user that runs the services: data, state, credentials
#
# RUN is DEV/run, or, when the run user cannot get there (a clone under /root),
# a directory in /var/tmp that DEV/run links to.
# shellcheck shell=bash

DEV=${KILN_DEV_DIR:-$ROOT/.dev}
RUN=
LOG=
RUN_USER=
CACHE=

# Services refuse to run as root, and so does Postgres.
choose_run_user() {
    if [ "$(id -u)" -ne 0 ]; then
        RUN_USER=$(id -un)
        CACHE=${KILN_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/kiln}
        return
    fi
    RUN_USER=kiln
    # The run user must be able to read it, so root's home will not do.
    CACHE=${KILN_CACHE_DIR:-/var/cache/kiln}
    if ! id -u "$RUN_USER" >/dev/null 2>&1; then
        (flock -w 60 8
         id -u "$RUN_USER" >/dev/null 2>&1 || useradd --system --user-group --no-create-home \
             --home-dir /nonexistent --shell /usr/sbin/nologin "$RUN_USER"
        ) 8>/run/lock/kiln-user.lock || die "cannot make the user $RUN_USER"
    fi
}

# as_run_user COMMAND...: in the foreground. setpriv and not runuser, since it
# execs: no process in between, no session.
as_run_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid "$RUN_USER" --regid "$RUN_USER" --init-groups -- "$@"
    else
        "$@"
    fi
}

# run_dir PATH [MODE]: a directory of the run user.
run_dir() {
    [ -d "$1" ] || mkdir -p -- "$1"
    chmod "${2:-0755}" "$1"
    own "$1"
}

# own FILE...: gives files to the run user.
own() { [ "$(id -u)" -ne 0 ] || chown "$RUN_USER:$RUN_USER" "$@"; }

choose_place() {
    choose_run_user
    mkdir -p -- "$DEV/log" "$DEV/pid"
    DEV=$(cd -- "$DEV" && pwd -P)
    LOG=$DEV/log
    chmod 0755 "$DEV"
    chmod 0700 "$LOG" "$DEV/pid"
    if [ ! -d "$DEV/run" ]; then
        rm -f -- "$DEV/run"             # a link whose target was cleaned away
        if as_run_user test -x "$DEV"; then
            mkdir "$DEV/run"
        else
            # Named at random and remembered by the link: /var/tmp is everybody's.
            ln -s -- "$(mktemp -d /var/tmp/kiln-dev.XXXXXXXX)" "$DEV/run"
        fi
    fi
    RUN=$(cd -- "$DEV/run" && pwd -P)
    run_dir "$RUN" 0700
    as_run_user test -x "$RUN" ||
        die "$RUN_USER cannot reach $RUN any more: ./dev down --clean, or open the folders above it"
}

# find_place: like choose_place, for commands that must not make anything.
find_place() {
    [ -d "$DEV/run" ] || return 1
    DEV=$(cd -- "$DEV" && pwd -P)
    LOG=$DEV/log
    RUN=$(cd -- "$DEV/run" && pwd -P)
    choose_run_user
}

# Only one ./dev changes a DEV at a time. The lock goes with its holder, however
# that ends; daemons drop it once their pid file is written (process.sh).
lock_place() {
    exec 9>"$DEV/lock"
    flock -n 9 && return
    note "waiting for another ./dev in $DEV"
    flock -w 600 9 || die "another ./dev is still busy in $DEV"
}
unlock_place() { exec 9>&-; }
