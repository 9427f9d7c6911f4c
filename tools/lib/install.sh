# tools/lib/install.sh: sourced by tools/demo and tests/run: installs what they need with Debian's package manager.
#
# Nothing is installed that is there already, so the second call costs a fraction of a second. PostgreSQL's packages would
# create and start a cluster of the distribution; that is switched off, the scripts run private ones.

BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config python3 libev-dev libzstd-dev liblz4-dev libjansson-dev
libsnappy-dev zlib1g-dev libmicrohttpd-dev libpcre2-dev libxxhash-dev uthash-dev"
RUN_PACKAGES="libpq5 postgresql-15 kcat curl ca-certificates"

die() {
    printf '%s\n' "$0: $*" >&2
    exit 1
}

# as_root COMMAND...: directly when we are root, else with sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || die "needs root to install packages: run it as root or install sudo"
        sudo "$@"
    fi
}

# install_packages PACKAGE...: those that are missing.
install_packages() {
    local missing=() p
    for p in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
    done
    [ ${#missing[@]} = 0 ] && return 0
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        as_root mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    echo "installing ${missing[*]}" >&2
    local log
    log=$(mktemp)
    as_root apt-get update >"$log" 2>&1 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            -o Dpkg::Options::=--force-confold "${missing[@]}" >>"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "apt-get could not install: ${missing[*]} (whole output: $log)"; }
    rm -f "$log"
}

require_debian() {
    local id="" version=""
    [ -r /etc/os-release ] && . /etc/os-release && id=${ID:-} version=${VERSION_ID:-}
    command -v apt-get >/dev/null && [ "$id" = debian ] && [ "${version%%.*}" -ge 12 ] 2>/dev/null ||
        die "this script installs Debian 12 packages and this system is '${PRETTY_NAME:-unknown}'. Install these yourself and" \
            "run 'meson setup build && ninja -C build': $BUILD_PACKAGES"
}

# build_release DIR: configures when DIR is new, then builds.
build_release() {
    if [ ! -e "$1/build.ninja" ]; then
        meson setup "$1" --buildtype=release -Db_lto=true -Dunit=disabled >"$1.log" 2>&1 || { cat "$1.log" >&2; die "meson failed"; }
        rm -f "$1.log"
    fi
    ninja -C "$1" ${2:+"$2"} >/dev/null || { ninja -C "$1" ${2:+"$2"}; die "the build failed"; }
}
