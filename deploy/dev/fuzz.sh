# fuzz: tests/fuzz at length. `./dev test` runs each harness for 10 s from its seeds; this goes on from what earlier runs found.
# shellcheck shell=bash

FUZZ_SECONDS=60

# cmd_fuzz [NAME] [SECONDS]: the corpus is kept in DEV/fuzz/NAME, beside the inputs that broke something.
cmd_fuzz() {
    local name seconds names=() source rc=0
    for source in "$ROOT"/tests/fuzz/fuzz_*.c; do
        source=${source##*/fuzz_}
        names+=("${source%.c}")
    done
    case ${1:-} in
        ''|[0-9]*) ;;
        *)
            case " ${names[*]} " in *" $1 "*) ;; *) fail_usage "no fuzz is called $1; there are: ${names[*]}" ;; esac
            names=("$1")
            shift
            ;;
    esac
    case ${1:-1} in *[!0-9]*) fail_usage "fuzz: '$1' is no number of seconds" ;; esac
    seconds=${1:-$FUZZ_SECONDS}
    need BUILD FUZZ
    build fuzz
    for name in "${names[@]}"; do
        say "--- fuzz: $name, $seconds s"
        # Any option makes it one that keeps its corpus; seed 0 is a new one each time.
        "$ROOT/tests/fuzz/run" "$ROOT/build/fuzz/bin/fuzz_$name" "$ROOT/tests/fuzz/seeds/$name" "$DEV/fuzz/$name" "$seconds" \
            -seed=0 </dev/null || rc=1
    done
    exit $rc
}
