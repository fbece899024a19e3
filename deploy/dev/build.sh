# CMake, one preset at a time.
# shellcheck shell=bash

# build PRESET [TARGET]: configures when needed, then builds. Two ./dev of one clone take turns.
build() {
    local preset=$1 dir=$ROOT/build/$1
    mkdir -p -- "$ROOT/build"
    (
        flock 7
        # Ninja itself notices changed CMakeLists; it does not know the presets.
        if [ ! -f "$dir/build.ninja" ] || [ "$ROOT/CMakePresets.json" -nt "$dir/build.ninja" ]; then
            (cd "$ROOT" && step "configure ($preset)" cmake --preset "$preset") || exit 1
            touch "$dir/build.ninja"
        fi
        cd "$ROOT" && step "build ($preset${2:+, $2})" cmake --build --preset "$preset" ${2:+--target "$2"} -j "$(nproc)" -- --quiet
    ) 7>"$ROOT/build/$preset.lock" || die "the build ($preset) failed"
}

