# Kiln's own processes: kiln-migrate once, then the four services.
# shellcheck shell=bash

BIN=            # folder of the binaries, readable by the run user
KAFKA=          # brokers in use: our own, or those given from outside

check_binaries() { [ -x "$1/kiln-gateway" ] || die "no binaries in $1: run without --no-build"; }

# use_binaries FOLDER: BIN, as a copy under RUN when the run user cannot get there.
use_binaries() {
    local from=$1 file
    check_binaries "$from"
    BIN=$(cd -- "$from" && pwd -P)
    ! as_run_user test -x "$BIN/kiln-gateway" || return 0
    run_dir "$RUN/bin"
    for file in "$BIN"/kiln*; do
        [ -f "$file" ] && [ -x "$file" ] || continue
        cmp -s -- "$file" "$RUN/bin/${file##*/}" ||
            write_file 0755 "$RUN/bin/${file##*/}" <"$file"
    done
    BIN=$RUN/bin
}

# What all services get: KILN_* and the sanitizers' options of the caller (so that a
# test can set any of them), and where things are.
common_environment() {
    local name
    ENVIRONMENT=("HOME=$RUN/home" "LANG=C.UTF-8" "TMPDIR=$RUN/tmp")
    for name in $(compgen -e); do
        case $name in
            KILN_DEV_*|KILN_CACHE_DIR|KILN_DATABASE_URL) ;;
            KILN_*|*SAN_OPTIONS|SSL_CERT_FILE|SSL_CERT_DIR) ENVIRONMENT+=("$name=${!name}") ;;
        esac
    done
    ENVIRONMENT+=(
        "KILN_KAFKA_BROKERS=$KAFKA"
        "KILN_OPS_ADDRESS=127.0.0.1"
        "KILN_LOG_FORMAT=${KILN_LOG_FORMAT:-text}"
        "KILN_WEBHOOK_ALLOW=$(webhook_allow)"
        "KILN_GIT_ALLOW=$(git_allow)"
    )
}

sandbox()       { printf '%s' "${KILN_SANDBOX:-bwrap}"; }
webhook_allow() { printf '%s' "${KILN_WEBHOOK_ALLOW:-127.0.0.0/8,::1}"; }
git_allow()     { printf '%s' "${KILN_GIT_ALLOW:-127.0.0.0/8,::1}"; }

migrate_environment() {
    common_environment
    ENVIRONMENT+=(
        "KILN_DATABASE_URL=$OWNER_URL"
        "KILN_ROLE_PASSWORD_GATEWAY=$(secret role-gateway)"
        "KILN_ROLE_PASSWORD_BUILD_SERVICE=$(secret role-build-service)"
        "KILN_ROLE_PASSWORD_NOTIFIER=$(secret role-notifier)"
        "KILN_ADMIN_TOKEN_FILE=$RUN/secrets/admin-token"
    )
}

gateway_environment() {
    common_environment
    ENVIRONMENT+=(
        "KILN_DATABASE_URL=$(url_of_role kiln_gateway "$(secret role-gateway)")"
        "KILN_LISTEN=127.0.0.1:${PORTS[gateway]}"
        "KILN_OPS_PORT=${PORTS[ops-gateway]}"
        "KILN_GIT_BASE_URL=$GIT_URL"
        "KILN_GIT_BASE_CREDENTIAL=$GIT_CREDENTIAL"
        "KILN_ARTIFACTS_DIR=$RUN/artifacts"
    )
}

build_service_environment() {
    common_environment
    ENVIRONMENT+=(
        "KILN_DATABASE_URL=$(url_of_role kiln_build_service "$(secret role-build-service)")"
        "KILN_OPS_PORT=${PORTS[ops-build-service]}"
        "KILN_GIT_BASE_URL=$GIT_URL"
        "KILN_GIT_BASE_CREDENTIAL=$GIT_CREDENTIAL"
    )
}

notifier_environment() {
    common_environment
    ENVIRONMENT+=(
        "KILN_DATABASE_URL=$(url_of_role kiln_notifier "$(secret role-notifier)")"
        "KILN_OPS_PORT=${PORTS[ops-notifier]}"
    )
}

executor_environment() {
    common_environment
    ENVIRONMENT+=(
        "KILN_STATE_DIR=$RUN/executor-$1"
        "KILN_OPS_PORT=${PORTS[ops-executor-$1]}"
        "KILN_SLOTS=$SLOTS"
        "KILN_SANDBOX=$(sandbox)"
        "KILN_GIT_BASE_URL=$GIT_URL"
        "KILN_GIT_BASE_CREDENTIAL=$GIT_CREDENTIAL"
        "KILN_CREDENTIALS_DIR=$RUN/credentials"
        "KILN_COMMAND_AGENTS_DIR=$RUN/agents"
        "KILN_ARTIFACTS_DIR=$RUN/artifacts"
    )
    agents_environment
}

# environment_of SERVICE: fills ENVIRONMENT; program_of SERVICE: its binary.
environment_of() {
    ENVIRONMENT=()
    case $1 in
        executor-*) executor_environment "${1#executor-}" ;;
        *) "${1//-/_}_environment" ;;
    esac
}
program_of() { case $1 in executor-*) echo kiln-executor ;; *) echo "kiln-$1" ;; esac; }

service_names() {
    local n
    echo gateway build-service notifier
    for ((n = 1; n <= EXECUTORS; n++)); do echo "executor-$n"; done
}

GIT_CREDENTIAL=kiln-dev

# The folders and files that services expect to find.
prepare_services() {
    local agent n
    run_dir "$RUN/secrets" 0700
    run_dir "$RUN/credentials" 0700
    run_dir "$RUN/artifacts"
    run_dir "$RUN/agents"
    for ((n = 1; n <= EXECUTORS; n++)); do run_dir "$RUN/executor-$n" 0700; done
    jq -n --arg prefix "$GIT_URL" --arg token "$(secret git-token)" \
        '{url_prefix: $prefix, username: "kiln", token: $token}' |
        write_file 0600 "$RUN/credentials/$GIT_CREDENTIAL.json" own
    for agent in "$ROOT"/deploy/dev/agents/*; do
        cmp -s -- "$agent" "$RUN/agents/${agent##*/}" ||
            write_file 0755 "$RUN/agents/${agent##*/}" <"$agent"
    done
}

migrate() {
    local ENVIRONMENT=() rc=0
    environment_of migrate
    (
        clear_environment
        export "${ENVIRONMENT[@]}"
        cd "$RUN"
        as_run_user "$BIN/kiln-migrate" 9>&-
    ) >>"$LOG/migrate.log" 2>&1 </dev/null || rc=$?
    [ $rc -eq 0 ] || { show_log migrate; die "kiln-migrate failed"; }
}

# service_begin NAME: starts it unless it runs just so already.
service_begin() {
    local name=$1 program signature ENVIRONMENT
    program=$BIN/$(program_of "$name")
    running "$name" || case $name in
        gateway) fresh_ports gateway ops-gateway ;;
        *) fresh_ports "ops-$name" ;;
    esac
    environment_of "$name"
    # What runs with another binary or other settings is started again.
    signature=$( { printf '%s\n' "${ENVIRONMENT[@]}"; stat -L -c '%n %i %s %Y' "$program"; } | sha256sum)
    signature=${signature%% *}
    if running "$name"; then
        [ "$SIGNATURE" != "$signature" ] || return 0
        note "$name has changed: starting it again"
        stop TERM "$name"
    fi
    spawn "$name" ENVIRONMENT "$signature" "$program"
}

service_ready() { http_ok "http://127.0.0.1:${PORTS[ops-$1]}/readyz"; }

service_finish() {
    local name=$1 try before
    for try in 1 2 3; do
        # It waits for the partitions of a broker that has just made them, which takes a loaded machine a minute.
        await "$name" 120000 service_ready "$name" && return
        before=${PORTS[*]}
        if running "$name"; then
            warn "$name does not get ready; it says:"
            curl -s --max-time 2 --noproxy '*' "http://127.0.0.1:${PORTS[ops-$name]}/readyz" >&2 || :
            break
        fi
        service_begin "$name"
        [ "$before" != "${PORTS[*]}" ] || [ "$try" = 1 ] || break
    done
    show_log "$name"
    die "$name does not start"
}
