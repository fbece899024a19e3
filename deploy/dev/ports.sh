# Free ports, chosen once and remembered in DEV/ports as NAME=NUMBER lines.
# They are taken from below the range that outgoing connections use, or one of
# those would sooner or later sit on a port that we remember.
# shellcheck shell=bash

declare -A PORTS=()

load_ports() {
    local name number
    PORTS=()
    [ -f "$DEV/ports" ] || return 0
    while IFS='=' read -r name number; do
        [ -z "$name" ] || PORTS[$name]=$number
    done <"$DEV/ports"
}

save_ports() {
    local name
    for name in "${!PORTS[@]}"; do
        printf '%s=%s\n' "$name" "${PORTS[$name]}"
    done | sort | write_file 0644 "$DEV/ports"
}

# fresh_ports NAME...: for something that is not running: keeps the remembered
# ports that are free and chooses others for the rest.
fresh_ports() {
    local name choice choices=() before="${PORTS[*]}"
    for name in "$@"; do choices+=("$name=${PORTS[$name]:-0}"); done
    # shellcheck disable=SC2086  # split into words on purpose
    for choice in $(choose_ports "${choices[@]}" -- ${PORTS[*]}); do
        PORTS[${choice%%=*}]=${choice#*=}
    done
    [ "$before" = "${PORTS[*]}" ] || save_ports
}

choose_ports() {
    /usr/bin/python3 -I - "$@" <<'PYTHON'
import random, socket, sys

cut = sys.argv.index("--")
wanted = [a.split("=") for a in sys.argv[1:cut]]
taken = {int(p) for p in sys.argv[cut + 1:]}

# A remembered port may have connections of before that time out; a new one must be nobody's, also not of a test that keeps it.
def free(port, remembered):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, remembered)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

for name, port in wanted:
    remembered = port = int(port)
    while port == 0 or not free(port, port == remembered):
        port = random.randrange(12000, 32000)
        if port in taken:
            port = 0
    taken.add(port)
    print(f"{name}={port}")
PYTHON
}
