# DEV/env: the running system for tools and scripts, as docs/contract.md has it.
# shellcheck shell=bash

OWN_VARIABLES="KILN_URL KILN_TOKEN KILN_KAFKA_BROKERS KILN_DATABASE_URL KILN_GIT_URL
    KILN_GIT_ROOT KILN_GIT_CREDENTIAL KILN_GIT_TOKEN KILN_GIT_BASE_URL KILN_GIT_BASE_CREDENTIAL
    KILN_CREDENTIALS_DIR KILN_COMMAND_AGENTS_DIR KILN_ARTIFACTS_DIR KILN_STATE_DIR
    KILN_SANDBOX KILN_WEBHOOK_ALLOW KILN_GIT_ALLOW KILN_NETWORK_ALLOW
    KILN_CLAUDE_CODE_PROGRAM KILN_CLAUDE_CODE_KEY_FILE KILN_CLAUDE_CODE_BASE_URL
    KILN_OPENCODE_PROGRAM KILN_OPENCODE_KEY_FILE KILN_OPENCODE_BASE_URL KILN_OPENCODE_API KILN_OPENCODE_MODEL KILN_MODEL_PRICES
    KILN_OPS_GATEWAY KILN_OPS_BUILD_SERVICE KILN_OPS_NOTIFIER KILN_OPS_EXECUTOR
    KILN_BIN KILN_RUN_USER KILN_PID_GATEWAY KILN_PID_BUILD_SERVICE KILN_PID_NOTIFIER
    KILN_PID_EXECUTOR KILN_PID_KAFKA KILN_PID_POSTGRES"

# A shell that has sourced the file of one system may start another one.
ignore_own_env() {
    [ "${KILN_DEV_ENV:-}" = 1 ] || return 0
    # shellcheck disable=SC2086  # split into words on purpose
    unset KILN_DEV_ENV $OWN_VARIABLES
}

write_env() {
    {
        echo "# Made by ./dev up; source it (. $DEV/env). It holds secrets."
        print_env
    } | write_file 0600 "$DEV/env"
}

print_env() {
    local ops=() n
    for ((n = 1; n <= EXECUTORS; n++)); do
        ops+=("$(ops_url "executor-$n")")
    done
    about "With it ./dev ignores the values of this file, so that the shell can start another system."
    put KILN_DEV_ENV 1
    about "The API, and a token that may do everything."
    put KILN_URL "http://127.0.0.1:${PORTS[gateway]:-0}"
    put KILN_TOKEN "$(admin_token)"
    about "Kafka (events), and Postgres as its owner."
    put KILN_KAFKA_BROKERS "$KAFKA"
    [ -z "${KILN_KAFKA_CONFIG:-}" ] || put KILN_KAFKA_CONFIG "$KILN_KAFKA_CONFIG"
    put KILN_DATABASE_URL "$OWNER_URL"
    about "A git server over HTTP: a push to a new path below it makes that repository, which then lies in ROOT." \
        "User kiln, password TOKEN; CREDENTIAL is its name for the git_url of a project."
    put KILN_GIT_URL "$GIT_URL"
    put KILN_GIT_ROOT "$RUN/git"
    put KILN_GIT_CREDENTIAL "$GIT_CREDENTIAL"
    put KILN_GIT_TOKEN "$(secret git-token)"
    about "The same two under the names that services know them by."
    put KILN_GIT_BASE_URL "$GIT_URL"
    put KILN_GIT_BASE_CREDENTIAL "$GIT_CREDENTIAL"
    about "What executors read: git credentials, NAME.json each; programs of command agents, NAME each." \
        "What they write: artifacts, which gateways read; the first executor's own state."
    put KILN_CREDENTIALS_DIR "$RUN/credentials"
    put KILN_COMMAND_AGENTS_DIR "$RUN/agents"
    put KILN_ARTIFACTS_DIR "$RUN/artifacts"
    put KILN_STATE_DIR "$RUN/executor-1"
    about "How agents are confined, and the private addresses that callback_url, git_url and network.allow may name."
    put KILN_SANDBOX "$(sandbox)"
    put KILN_WEBHOOK_ALLOW "$(webhook_allow)"
    put KILN_GIT_ALLOW "$(git_allow)"
    put KILN_NETWORK_ALLOW "${KILN_NETWORK_ALLOW:-}"
    local ENVIRONMENT=() entry
    agents_environment
    [ ${#ENVIRONMENT[@]} -eq 0 ] || about "Claude Code and OpenCode."
    for entry in "${ENVIRONMENT[@]}"; do put "${entry%%=*}" "${entry#*=}"; done
    about "Where each service has /livez, /readyz and /metrics."
    put KILN_OPS_GATEWAY "$(ops_url gateway)"
    put KILN_OPS_BUILD_SERVICE "$(ops_url build-service)"
    put KILN_OPS_NOTIFIER "$(ops_url notifier)"
    put KILN_OPS_EXECUTOR "${ops[*]}"
    about "The programs, and who runs them: services refuse to run as root. Another executor is KILN_BIN/kiln-executor with" \
        "this environment, a KILN_STATE_DIR of its own, KILN_OPS_PORT=0, and KILN_SLOTS and KILN_LABELS as wanted."
    put KILN_BIN "$BIN"
    put KILN_RUN_USER "$RUN_USER"
    put KILN_PID_GATEWAY "$(pids_of gateway)"
    put KILN_PID_BUILD_SERVICE "$(pids_of build-service)"
    put KILN_PID_NOTIFIER "$(pids_of notifier)"
    put KILN_PID_EXECUTOR "$(pids_of 'executor-*')"
    put KILN_PID_KAFKA "$(pids_of 'kafka-*')"
    put KILN_PID_POSTGRES "$(pids_of postgres)"
}

about() { printf '\n'; printf '# %s\n' "$@"; }
put() { printf 'export %s=%s\n' "$1" "$(quoted "$2")"; }

admin_token() {
    if [ -s "$RUN/secrets/admin-token" ]; then
        tr -d '\n' <"$RUN/secrets/admin-token"
    else
        # A database from outside that has its tokens already.
        printf '%s' "${KILN_TOKEN:-}"
    fi
}

ops_url() { [ -z "${PORTS[ops-$1]:-}" ] || printf 'http://127.0.0.1:%s' "${PORTS[ops-$1]}"; }

# pids_of PATTERN: of what runs, by the order of their names.
pids_of() {
    local name pids=()
    for name in $(pid_names "$1"); do
        if running "$name"; then pids+=("$PID"); fi
    done
    printf '%s' "${pids[*]}"
}

pid_names() {
    local file
    # shellcheck disable=SC2231  # the pattern is one
    for file in "$DEV/pid"/$1; do
        [ ! -f "$file" ] || printf '%s\n' "${file##*/}"
    done | sort -V
}
