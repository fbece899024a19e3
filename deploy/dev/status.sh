# status and logs.
# shellcheck shell=bash

server_names() {
    echo postgres
    kafka_names
    echo git-server
    ! has_scripted_model || echo model-api
}

cmd_status() {
    local name state rc=0 url
    find_place || { say "nothing was started here yet: ./dev up"; exit 1; }
    load_settings
    load_ports
    printf '%-15s %8s  %-10s %s\n' SERVICE PID STATE WHERE
    for name in $(server_names) $(service_names); do
        state=up url=
        case $name in
            postgres)   url=127.0.0.1:${PORTS[postgres]:-} ;;
            kafka-*)    url=127.0.0.1:${PORTS[$name]:-} ;;
            git-server) url=http://127.0.0.1:${PORTS[git]:-} ;;
            model-api)  url=http://127.0.0.1:${PORTS[model-api]:-} ;;
            gateway)    url="http://127.0.0.1:${PORTS[gateway]:-}  ops $(ops_url gateway)" ;;
            *)          url="ops $(ops_url "$name")" ;;
        esac
        if ! running "$name"; then
            state=down url=
            # Somebody else's is in use: there was never one of our own.
            case $name in postgres|kafka-*) [ -d "$RUN/$name" ] || state=none ;; esac
            [ $state = none ] || rc=1
        else
            case $name in
                postgres|kafka-*|git-server|model-api) ;;
                *) service_ready "$name" || { state='not ready'; rc=1; } ;;
            esac
        fi
        printf '%-15s %8s  %-10s %s\n' "$name" "${PID/#0/-}" "$state" "$url"
    done
    say "environment for tools: . $DEV/env      logs: ./dev logs SERVICE"
    exit $rc
}

cmd_logs() {
    local name='' follow=() file found=()
    while [ $# -gt 0 ]; do
        case $1 in
            -f) follow=(-f) ;;
            -*) fail_usage "logs: unknown option $1" ;;
            *) name=${1#kiln-} ;;
        esac
        shift
    done
    find_place || die "nothing was started here yet: ./dev up"
    for file in "$LOG/$name.log" "$LOG/$name"-*.log; do
        [ -z "$name" ] || [ ! -f "$file" ] || found+=("$file")
    done
    if [ ${#found[@]} -eq 0 ]; then
        say "usage: ./dev logs SERVICE [-f]      there are logs of:"
        for file in "$LOG"/*.log; do
            file=${file##*/}
            [ "$file" = '*.log' ] || note "${file%.log}"
        done
        [ -z "$name" ] || die "no log of $name"
        return
    fi
    exec tail -n "${KILN_LOG_LINES:-200}" "${follow[@]}" -- "${found[@]}"
}
