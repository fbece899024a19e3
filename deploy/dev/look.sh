# Looking inside a running system: psql and events.
# shellcheck shell=bash

source_env() {
    [ -r "$DEV/env" ] || die "nothing runs here: ./dev up"
    # shellcheck disable=SC1091  # made by write_env
    . "$DEV/env"
}

cmd_psql() {
    source_env
    exec psql "$KILN_DATABASE_URL" "$@"
}

# Of each event the time, topic and key, the CloudEvents headers, the data.
cmd_events() {
    local from=latest config=()
    case ${1:-} in
        '') ;;
        --all) from=earliest ;;
        *) fail_usage "events: unknown option $1" ;;
    esac
    source_env
    [ -z "${KILN_KAFKA_CONFIG:-}" ] || config=(-F "$KILN_KAFKA_CONFIG")
    # A consumer group of its own, since kcat reads several topics only so; nothing is committed.
    exec kcat "${config[@]}" -b "$KILN_KAFKA_BROKERS" -q -u \
        -X log_level=3 -X auto.offset.reset="$from" -X enable.auto.commit=false \
        -f '%T %t %k\n    %h\n    %s\n' \
        -G "kiln-dev-events-$$" kiln.build.events kiln.ci.events kiln.project.events
}
