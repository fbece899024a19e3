# lint and fmt; bench and chaos, which run what lies under tests/.
# shellcheck shell=bash

CODE="api-gateway build-service executor notifier cli common migrate tests"

# sources SUFFIX...: the project's files of these kinds, one a line.
sources() {
    local suffix
    cd "$ROOT"
    for suffix in "$@"; do
        # shellcheck disable=SC2046,SC2086  # split into words on purpose
        find $(ls -d $CODE 2>/dev/null) -name "*.$suffix" -not -path '*/build/*' -type f
    done | sort
}

cmd_fmt() {
    need LINT
    sources c h | (cd "$ROOT" && xargs -r clang-format -i)
}

cmd_lint() {
    local failed=()
    need BUILD LINT
    build release           # clang-tidy reads generated headers and compile_commands.json
    build release kiln_bench
    lint_part format  lint_format     || failed+=(format)
    lint_part shell   lint_shell      || failed+=(shell)
    lint_part cppcheck lint_cppcheck  || failed+=(cppcheck)
    lint_part clang-tidy lint_tidy    || failed+=(clang-tidy)
    [ ${#failed[@]} -eq 0 ] || die "lint: not clean: ${failed[*]}"
    say "lint: clean"
}

lint_part() {
    local name=$1
    shift
    (cd "$ROOT" && step "$name" "$@")
}
lint_format() { sources c h | xargs -r clang-format --dry-run -Werror; }
lint_shell() {
    shellcheck -x dev .ci/run || return
    sources sh | xargs -r shellcheck
}
# varFuncNullUB: POSIX has NULL as a pointer, (void *)0, so it may end a list of arguments.
# What is made from data (-i build) has nothing to find, and arrays of a hundred thousand bytes take minutes.
lint_cppcheck() {
    cppcheck --project=build/release/compile_commands.json -i build --enable=warning,performance,portability \
        --inline-suppr --suppress=varFuncNullUB --suppress='*:*/build/*' --suppress=missingIncludeSystem \
        --std=c11 --error-exitcode=1 --quiet -j "$(nproc)"
}
lint_tidy() {
    sources c | sed 's|^|'"$ROOT"'/|; s|$|$|' |
        xargs -r run-clang-tidy -quiet -p build/release -extra-arg=-Wno-unknown-warning-option -j "$(nproc)"
}

cmd_bench() { run_named bench "$@"; }
cmd_chaos() { run_named chaos "$@"; }

# run_named KIND [NAME [OPTIONS]]: tests/KIND/NAME/run; without a name all of them.
run_named() {
    local kind=$1 name found=() rc=0
    shift
    for name in "$ROOT/tests/$kind"/*/run; do
        [ ! -x "$name" ] || { name=${name%/run}; found+=("${name##*/}"); }
    done
    [ ${#found[@]} -gt 0 ] || fail_usage "there is no $kind yet"
    if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
        case " ${found[*]} " in
            *" $1 "*) found=("$1"); shift ;;
            *) fail_usage "no $kind is called $1; there are: ${found[*]}" ;;
        esac
    fi
    if wants_help "$@"; then
        for name in "${found[@]}"; do say "usage: $(usage_of "$kind/$name")"; done
        exit 0
    fi
    for name in "${found[@]}"; do check_options "$kind/$name" "$@"; done
    [ "$kind" != bench ] || need BENCH
    set_up_tests release
    export KILN_BIN=$ROOT/build/release/bin
    [ "$kind" != bench ] || touch_memory
    for name in "${found[@]}"; do
        say "--- $kind: $name"
        "$ROOT/tests/$kind/$name/run" "$@" </dev/null || rc=1
    done
    exit $rc
}

# usage_of KIND/NAME: what its program says of itself.
usage_of() { sed -n 's/^usage: //p' "$ROOT/tests/$1/run"; }

# check_options KIND/NAME OPTIONS...: by its usage, as in [--minutes N] [--lenient [--uncounted STATUS]]. The program would tell it
# as well, after a set-up that may take minutes.
check_options() {
    local usage name value=''
    usage=$(usage_of "$1")
    shift
    while [ $# -gt 0 ]; do
        name=${1%%=*}
        case $usage in
            *"[$name]"*|*"[$name ["*) [ "$name" = "$1" ] || fail_usage "$name takes no value" ;;
            *"[$name "*)
                if [ "$name" != "$1" ]; then value=${1#*=}; else value=${2:-}; fi
                [ -n "$value" ] || fail_usage "$name needs a value"
                case ${usage#*"[$name "} in
                    "N]"*|"S]"*) [[ $value =~ ^[0-9]+([.][0-9]+)?$ ]] || fail_usage "$name needs a number, not '$value'" ;;
                esac
                [ "$name" != "$1" ] || shift
                ;;
            *) fail_usage "unknown option $1; usage: $usage" ;;
        esac
        shift
    done
}

# touch_memory: a virtual machine gets its memory from its host page by page, at the first touch (13 us a page where it was measured, and 1.3 us
# later): whoever writes more would be the slower for it. What is freed here comes first when pages are wanted.
touch_memory() {
    local file file_fd bytes room most=8589934592
    room=$(df --output=avail -B1 /dev/shm 2>/dev/null | tail -n 1) || return 0
    bytes=$(awk -v most="$most" '/^MemAvailable:/ { half = $2 * 1024 / 2; printf "%.0f\n", half < most ? half : most }' /proc/meminfo)
    [ "$bytes" -lt "$((room / 2))" ] || bytes=$((room / 2))
    file=$(mktemp /dev/shm/kiln-bench-XXXXXX)
    exec {file_fd}<>"$file"
    rm -f -- "$file"      # also when this is killed
    head -c "$bytes" /dev/zero >&"$file_fd" || warn "not all of the memory could be touched: $bytes bytes"
    exec {file_fd}>&-
}
