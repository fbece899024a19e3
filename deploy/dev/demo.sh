# demo: from a fresh machine to a verified build.
# shellcheck shell=bash

cmd_demo() {
    local agent=command start options=() key_file='' key model=scripted
    now_ms; start=$NOW_MS
    while [ $# -gt 0 ]; do
        case $1 in
            --agent) agent=${2:-}; [ -n "$agent" ] || fail_usage "--agent needs a name"; shift ;;
            --agent=*) agent=${1#*=} ;;
            --api-key-file) key_file=${2:-}; key=$(api_key "$1" "$key_file") || exit; shift ;;
            *) fail_usage "demo: unknown option $1" ;;
        esac
        shift
    done
    case $agent in
        command) ;;
        claude-code|opencode) options=(--agents) ;;
        *) fail_usage "--agent is command, claude-code or opencode" ;;
    esac
    if [ -n "$key_file" ]; then
        [ "$agent" != command ] || fail_usage "--api-key-file goes with --agent claude-code or opencode"
        [ "$agent" != claude-code ] || [ -n "${KILN_CLAUDE_CODE_BASE_URL:-}" ] || is_anthropics "$key" ||
            fail_usage "--api-key-file: claude-code wants a key of Anthropic's (sk-ant-...)"
        options=(--api-key-file "$key_file")
        model=vendor
    fi
    say "1. Set-up"
    need RUN BUILD DEMO
    choose_place
    lock_place
    need_python "$ROOT/deploy/dev/requirements.txt"
    unlock_place
    say "2. Build, and start Postgres, Kafka, a git server and the services"
    cmd_up "${options[@]}"
    now_ms
    took "from ./dev demo to here" $((NOW_MS - start))
    say "3. One build, from POST to commit and webhook"
    (
        source_env
        exec "$PYTHON" "$ROOT/deploy/dev/demo.py" "$agent" "$model" </dev/null
    ) || die "the demo failed; ./dev status and ./dev logs SERVICE tell more"
    demo_next
}

demo_next() {
    cat <<EOF

Kiln is still up. What to look at next:
    . $DEV/env; curl -H "Authorization: Bearer \$KILN_TOKEN" \$KILN_URL/projects
    ./dev events --all        everything that happened, as other programs see it
    ./dev psql                the same in tables (build_events is the trail)
    ./dev logs executor       what each service said
    ./dev down                stop all of it
EOF
}
