# Debian packages, by name, each command only those it needs.
# shellcheck shell=bash

PACKAGES_RUN="postgresql-15 openjdk-17-jre-headless maven git openssh-client bubblewrap
    python3 kcat curl jq procps util-linux ca-certificates"
PACKAGES_BUILD="build-essential cmake ninja-build pkg-config libh2o-evloop-dev
    libssl-dev libjemalloc-dev librdkafka-dev libpq-dev libgit2-dev libcurl4-openssl-dev
    libcjson-dev libpcre2-dev libseccomp-dev libcmocka-dev zlib1g-dev libzstd-dev git python3 python3-yaml"
PACKAGES_NPM="npm"
PACKAGES_DEMO="python3-venv git"
PACKAGES_TEST="python3-venv openjdk-17-jdk-headless spin openssh-server"
PACKAGES_BENCH="wrk"
PACKAGES_FUZZ="clang libclang-rt-14-dev"
PACKAGES_LINT="clang-format clang-tidy clang cppcheck shellcheck"

# need SET...: installs what is missing of the sets, in one go.
need() {
    local set name wanted=() missing=() have
    for set in "$@"; do
        name=PACKAGES_$set
        # shellcheck disable=SC2206  # split into words on purpose
        wanted+=(${!name})
    done
    have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
    for name in "${wanted[@]}"; do
        case $'\n'"$have"$'\n' in
            *$'\n'"$name installed"$'\n'*) ;;
            *) missing+=("$name") ;;
        esac
    done
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

install_packages() {
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "please install as root: apt-get install $*"
        root=(sudo)
    fi
    say "Installing $*"
    # Two clones may start at once; apt's own lock does not cover its update.
    (flock -w 900 8 || die "another ./dev is still installing packages"
     # A dpkg that was killed must be finished before it does anything else.
     if [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ] || [ -n "$(dpkg --audit 2>/dev/null)" ]; then
         "${root[@]}" dpkg --configure -a </dev/null
     fi
     apt_install "$@" || {
         "${root[@]}" apt-get -q -o DPkg::Lock::Timeout=600 update </dev/null
         apt_install "$@"
     }
    ) 8>/tmp/kiln-apt.lock.$(id -u) || die "installing packages failed"
}

apt_install() {
    local no_cluster=/etc/postgresql-common/createcluster.d/kiln-dev.conf rc=0
    # Of Postgres only the programs are wanted, not a cluster that starts with the machine.
    "${root[@]}" sh -c "mkdir -p ${no_cluster%/*} && echo create_main_cluster=false >$no_cluster"
    # Nor may a machine be open to logins because of a test: Debian's units start no sshd where this file is. It stays.
    case " $* " in *" openssh-server "*)
        note "/etc/ssh/sshd_not_to_be_run keeps the sshd of this machine from starting by itself: only tests want it"
        "${root[@]}" sh -c "mkdir -p /etc/ssh && echo 'By the set-up of tests, which want the program only. To let sshd start, remove this file.' >>/etc/ssh/sshd_not_to_be_run" ;;
    esac
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
        apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "$@" </dev/null || rc=$?
    "${root[@]}" rm -f -- "$no_cluster"
    return $rc
}
