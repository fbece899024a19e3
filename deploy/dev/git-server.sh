# The smart-HTTP git server of tests/support, as a daemon.
# shellcheck shell=bash

GIT_URL=

git_server_begin() {
    local source copy token
    run_dir "$RUN/git"
    run_dir "$RUN/lib"
    # A copy, since the run user may not be able to read the clone.
    for source in "$ROOT"/tests/support/git-server/*.py; do
        copy=$RUN/lib/${source##*/}
        cmp -s -- "$source" "$copy" || write_file 0644 "$copy" <"$source"
    done
    token=$(secret git-token)
    if running git-server; then
        GIT_URL=http://127.0.0.1:${PORTS[git]}
        return
    fi
    fresh_ports git
    GIT_URL=http://127.0.0.1:${PORTS[git]}
    local environment
    # shellcheck disable=SC2034  # spawn takes it by name
    environment=("HOME=$RUN/home" "LANG=C.UTF-8" "GIT_SERVER_USER=kiln" "GIT_SERVER_TOKEN=$token")
    spawn git-server environment - /usr/bin/python3 -E -s -B "$RUN/lib/git_server.py" \
        --root "$RUN/git" --listen "127.0.0.1:${PORTS[git]}"
}

git_server_finish() {
    local try before
    for try in 1 2 3; do
        await git-server 60000 http_ok "$GIT_URL/healthz" && return
        before=$GIT_URL
        stop TERM git-server
        git_server_begin
        [ "$before" != "$GIT_URL" ] || [ "$try" = 1 ] || break
    done
    show_log git-server
    die "the git server does not start"
}
