# test: set-up, then ctest for each preset, and one line over all of them.
# shellcheck shell=bash

TEST_PRESETS=(release asan tsan fuzz)

cmd_test() {
    local long=0 first=${TEST_PRESETS[0]} others=("${TEST_PRESETS[@]:1}")
    local preset out builder options=() running=() rc=0
    if [ "${1:-}" = --long ]; then long=1; shift; fi
    if wants_help "$@"; then
        say "usage: ./dev test [--long] [CTEST OPTIONS]      (-R REGEX, -N and what else ctest --help tells)"
        return
    fi
    set_up_tests "$first"
    # Tests that take longer carry the label "long".
    if [ $long = 1 ]; then
        export KILN_TEST_LONG=1
        options=(-L long)
    else
        options=(-LE long)
    fi
    out=$(mktemp -d)
    # shellcheck disable=SC2064  # the name is known now
    trap "rm -rf -- '$out'" EXIT
    # The sanitizers are built beside tests that mostly wait, and tested side by side.
    nice_builds "${others[@]}" >"$out/builds" 2>&1 &
    builder=$!
    run_tests "$first" $((3 * $(nproc))) "${options[@]}" "$@" 2>&1 | tee "$out/$first" || rc=1
    wait "$builder" || { cat -- "$out/builds"; die "the other presets do not build"; }
    cat -- "$out/builds"
    for preset in "${others[@]}"; do
        run_tests "$preset" $(($(nproc) + 2)) "${options[@]}" "$@" >"$out/$preset" 2>&1 &
        running+=($!)
    done
    for preset in "${!others[@]}"; do
        wait "${running[preset]}" || rc=1
        cat -- "$out/${others[preset]}"
    done
    cat -- "$out"/* >"$out/all"
    count_tests "$out/all" || rc=1
    exit $rc
}

nice_builds() {
    local preset
    renice -n 19 "$BASHPID" >/dev/null
    for preset; do build "$preset"; done
}

# run_tests PRESET JOBS CTEST-OPTIONS...
run_tests() {
    say "--- $1"
    (cd "$ROOT" && ctest --preset "$1" -j "$2" "${@:3}" </dev/null)
}

# set_up_tests PRESET: everything that tests use, so that none of them has to install or download; PRESET is built meanwhile.
set_up_tests() {
    local what out builder needs=(need_kafka need_agent_programs need_test_python) failed=0
    local -A pids=()
    need RUN BUILD TEST FUZZ
    choose_place
    out=$(mktemp -d)
    # shellcheck disable=SC2064  # the name is known now
    trap "rm -rf -- '$out'" EXIT
    # Side by side: downloads wait for others, a build only for the processor. It begins before the place is locked:
    # it would keep the lock, and a first build takes longer than another ./dev waits.
    build "$1" >"$out/build" 2>&1 &
    builder=$!
    lock_place
    for what in "${needs[@]}"; do
        $what >"$out/$what" 2>&1 &
        pids[$what]=$!
    done
    for what in "${needs[@]}"; do
        wait "${pids[$what]}" || failed=1
        cat -- "$out/$what"
    done
    # All of it is there; once more for what it is called.
    if [ $failed = 0 ]; then
        for what in "${needs[@]}"; do $what; done
    fi
    unlock_place
    wait "$builder" || failed=1
    cat -- "$out/build"
    rm -rf -- "$out"
    trap - EXIT
    [ $failed = 0 ] || die "the set-up failed"
    # python3 is the one with the tests' packages, in whatever a test starts.
    export PATH=${PYTHON%/*}:$PATH
    export KILN_TEST_KAFKA_LIBS=$KAFKA_HOME/libs
    export KILN_TEST_AGENT_PROGRAMS=$AGENT_PROGRAMS
}

need_test_python() { need_python "$ROOT/deploy/dev/requirements.txt" "$ROOT/tests/requirements.txt"; }

# count_tests FILE: sums the summaries of ctest. Nothing run is not a success.
count_tests() {
    local line total=0 failed=0 skipped
    while read -r line; do
        [[ $line =~ ([0-9]+)\ tests?\ failed\ out\ of\ ([0-9]+) ]] || continue
        failed=$((failed + BASH_REMATCH[1]))
        total=$((total + BASH_REMATCH[2]))
    done <"$1"
    skipped=$(grep -c '\*\*\*Skipped' "$1" || true)
    printf '%d passed, %d failed' $((total - failed - skipped)) "$failed"
    [ "$skipped" -eq 0 ] || printf ', %d skipped' "$skipped"
    printf '\n'
    [ "$failed" -eq 0 ] && [ "$total" -gt "$skipped" ]
}
