# Python tools in DEV/venv. Always Debian's own python3: another one that is
# first in PATH (pyenv) may come and go.
# shellcheck shell=bash

PYTHON=$ROOT/.dev/venv/bin/python3      # set again by need_python

# need_python FILE...: a venv with these pinned requirements; missing files are skipped.
need_python() {
    local file venv=$DEV/venv args=() files=() wanted
    for file in "$@"; do
        if [ -f "$file" ]; then args+=(-r "$file"); files+=("$file"); fi
    done
    PYTHON=$venv/bin/python3
    wanted=$(cat /dev/null "${files[@]}" | sha256sum)
    # The demo's tools are also the tests': what holds more serves for both.
    if [ -x "$PYTHON" ] && grep -qxF -- "$wanted" "$venv/kiln-installed" 2>/dev/null; then
        return
    fi
    if [ ! -x "$PYTHON" ] || ! grep -qxF -- "$venv" "$venv/kiln-place" 2>/dev/null; then
        rm -rf -- "$venv"
        step "python venv" /usr/bin/python3 -m venv "$venv" || die "cannot make $venv"
        printf '%s\n' "$venv" >"$venv/kiln-place"
    fi
    if [ ${#args[@]} -gt 0 ]; then
        step "python packages" patiently "$PYTHON" -m pip install --quiet --disable-pip-version-check \
            --no-input "${args[@]}" || die "cannot install the Python packages"
    fi
    printf '%s\n' "$wanted" >>"$venv/kiln-installed"
}
