# The scripted model of tests/support, as a daemon: the vendors' protocols, no vendor.
# shellcheck shell=bash

has_scripted_model() { [ "$AGENTS" = 1 ] && [ "$VENDOR" = 0 ]; }

model_api_begin() {
    local source copy
    run_dir "$RUN/lib"
    run_dir "$RUN/lib/model_api"
    for source in "$ROOT"/tests/support/model_api/*.py; do
        copy=$RUN/lib/model_api/${source##*/}
        cmp -s -- "$source" "$copy" || write_file 0644 "$copy" <"$source"
    done
    run_dir "$RUN/secrets" 0700
    if [ ! -s "$RUN/secrets/model-key" ]; then      # nobody's: the model takes any
        printf 'sk-kiln-dev-%s\n' "$(random_hex)" | write_file 0600 "$RUN/secrets/model-key" own
    fi
    running model-api && return
    fresh_ports model-api
    local environment
    # shellcheck disable=SC2034  # spawn takes it by name
    environment=("HOME=$RUN/home" "LANG=C.UTF-8")
    spawn model-api environment - /usr/bin/python3 -E -s -B "$RUN/lib/model_api" \
        --listen "127.0.0.1:${PORTS[model-api]}"
}

model_api_finish() {
    local try before
    for try in 1 2 3; do
        await model-api 60000 http_ok "http://127.0.0.1:${PORTS[model-api]}/healthz" && return
        before=${PORTS[model-api]}
        stop TERM model-api
        model_api_begin
        [ "$before" != "${PORTS[model-api]}" ] || [ "$try" = 1 ] || break
    done
    show_log model-api
    die "the scripted model does not start"
}
