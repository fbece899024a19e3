# up and down.
# shellcheck shell=bash

EXECUTORS=1
SLOTS=2
BROKERS=1

# What `up` was told last time holds until it is told otherwise.
load_settings() {
    local name value
    [ -f "$DEV/settings" ] || return 0
    while IFS='=' read -r name value; do
        case $name in EXECUTORS|SLOTS|BROKERS|AGENTS|VENDOR) printf -v "$name" '%s' "$value" ;; esac
    done <"$DEV/settings"
}
save_settings() {
    printf 'EXECUTORS=%s\nSLOTS=%s\nBROKERS=%s\nAGENTS=%s\nVENDOR=%s\n' "$EXECUTORS" "$SLOTS" "$BROKERS" "$AGENTS" "$VENDOR" |
        write_file 0644 "$DEV/settings"
}

number() {
    case $2 in ''|*[!0-9]*|????*) fail_usage "$1 needs a number, not '$2'" ;; esac
}

cmd_up() {
    local preset=release build=1 infra=0 executors='' slots=${KILN_SLOTS:-} brokers='' agents='' key=''
    while [ $# -gt 0 ]; do
        case $1 in
            --executors) number "$1" "${2:-}"; executors=$2; shift ;;
            --slots)     number "$1" "${2:-}"; slots=$2; shift ;;
            --brokers)   case ${2:-} in 1|3) brokers=$2 ;; *) fail_usage "--brokers is 1 or 3" ;; esac; shift ;;
            --preset)    preset=${2:-}; [ -n "$preset" ] || fail_usage "--preset needs a name"; shift ;;
            --agents)    agents=1 ;;
            --api-key-file) key=$(api_key "$1" "${2:-}") || exit; agents=1; shift ;;
            --no-build)  build=0 ;;
            --infra)     infra=1 ;;
            *) fail_usage "up: unknown option $1" ;;
        esac
        shift
    done
    if [ $infra = 1 ]; then need RUN; else need RUN BUILD; fi
    [ $infra = 1 ] || check_program "$preset" $build
    choose_place
    lock_place
    load_settings
    load_ports
    if [ -n "$brokers" ] && [ "$brokers" != "$BROKERS" ] && [ -d "$RUN/kafka-1" ]; then
        die "this Kafka has $BROKERS broker(s): ./dev down --clean first"
    fi
    EXECUTORS=${executors:-$EXECUTORS} SLOTS=${slots:-$SLOTS} BROKERS=${brokers:-$BROKERS} AGENTS=${agents:-$AGENTS}
    if [ -n "$key" ]; then
        take_api_key "$key"
        VENDOR=1
    elif [ -n "$agents" ]; then
        VENDOR=0
        rm -f -- "$RUN/secrets/vendor-key"
    fi
    save_settings
    run_dir "$RUN/home"
    run_dir "$RUN/tmp"
    infra_begin
    if [ $infra = 1 ]; then
        prepare_services
        infra_finish
    else
        if [ -n "${KILN_BIN:-}" ]; then
            use_binaries "$KILN_BIN"
        else
            [ $build = 0 ] || build "$preset"
            use_binaries "$ROOT/build/$preset/bin"
        fi
        infra_finish
        services_up
    fi
    write_env
    unlock_place
    [ $infra = 1 ] || say "Kiln is up at http://127.0.0.1:${PORTS[gateway]} (. $DEV/env)"
}

# check_program PRESET BUILD: before anything is started, is there what is to be run, or to be built?
check_program() {
    if [ -n "${KILN_BIN:-}" ]; then
        check_binaries "$KILN_BIN"
        return
    fi
    jq -e --arg name "$1" 'any(.configurePresets[]; .name == $name and .hidden != true)' "$ROOT/CMakePresets.json" >/dev/null ||
        fail_usage "--preset: there is no preset '$1'"
    [ "$2" = 1 ] || check_binaries "$ROOT/build/$1/bin"
}

# Everything that takes its time starts first, all together; then it is waited for.
infra_begin() {
    if [ -n "${KILN_KAFKA_BROKERS:-}" ]; then
        KAFKA=$KILN_KAFKA_BROKERS
    else
        need_kafka
        kafka_begin
        KAFKA=$KAFKA_BROKERS_LIST
    fi
    git_server_begin
    [ "$AGENTS" = 0 ] || need_agent_programs
    ! has_scripted_model || model_api_begin
    if [ -n "${KILN_DATABASE_URL:-}" ]; then OWNER_URL=$KILN_DATABASE_URL; else postgres_begin; fi
}

infra_finish() {
    now_ms
    local start=$NOW_MS
    [ -n "${KILN_DATABASE_URL:-}" ] || postgres_finish
    git_server_finish
    ! has_scripted_model || model_api_finish
    [ -n "${KILN_KAFKA_BROKERS:-}" ] || { kafka_finish; KAFKA=$KAFKA_BROKERS_LIST; }
    now_ms
    took "Postgres, Kafka and git answer after" $((NOW_MS - start))
}

services_up() {
    local name surplus=()
    prepare_services
    now_ms
    local start=$NOW_MS
    migrate
    for name in $(pid_names 'executor-*'); do
        [ "${name#executor-}" -le "$EXECUTORS" ] || surplus+=("$name")
    done
    [ ${#surplus[@]} -eq 0 ] || stop TERM "${surplus[@]}"
    for name in $(service_names); do service_begin "$name"; done
    for name in $(service_names); do service_finish "$name"; done
    now_ms
    took "migrated, and the services are ready after" $((NOW_MS - start))
}

cmd_down() {
    local clean=0
    case ${1:-} in '') ;; --clean) clean=1 ;; *) fail_usage "down: unknown option $1" ;; esac
    [ -d "$DEV" ] || return 0
    DEV=$(cd -- "$DEV" && pwd -P)
    lock_place
    if find_place; then
        load_settings
        all_down
    fi
    [ $clean = 0 ] || remove_data
    unlock_place
}

# Renamed first: interrupted in the middle, it leaves rubbish but no half of a database.
remove_data() {
    local trash
    [ ! -e "$DEV/run" ] || mv -T -- "$DEV/run" "$DEV/trash.$$"
    for trash in "$DEV"/trash.*; do
        [ ! -L "$trash" ] || rm -rf -- "$(readlink "$trash")"
        rm -rf -- "$trash"
    done
    rm -rf -- "$DEV/run" "$DEV/env" "$DEV/ports" "$DEV/settings" "$DEV"/{env,ports,settings}.?????? "$DEV/secrets" "$DEV/pid" "$DEV/log"
}

# Kiln's services first: they want to say good-bye to Kafka and Postgres.
all_down() {
    local names name
    mapfile -t names < <(pid_names 'executor-*'; pid_names 'gateway'; pid_names 'build-service'; pid_names 'notifier')
    [ ${#names[@]} -eq 0 ] || stop TERM "${names[@]}"
    for name in "$RUN"/executor-*; do
        [ ! -d "$name" ] || kill_strays "$name"
    done
    KAFKA_HOME=$CACHE/kafka-$KAFKA_VERSION
    mapfile -t names < <(pid_names 'kafka-*'; pid_names 'git-server'; pid_names 'model-api')
    # The last of three nodes has no quorum to say good-bye to, and would wait for one.
    [ "$BROKERS" = 1 ] || STOP_GRACE=2000
    [ ${#names[@]} -eq 0 ] || stop TERM "${names[@]}"
    keep_class_archive
    stop INT postgres
    kill_strays "$RUN/postgres"
    wait_for_init
}
