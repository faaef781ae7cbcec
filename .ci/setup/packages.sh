#!/bin/bash
# Installs the missing Debian packages of lists: packages.sh [LIST…]. The default is `packages`.
# This is the first step of set-up, so it uses only bash and what every Debian has.
set -euo pipefail
cd "$(dirname "$0")"

lists=("${@:-packages}")

list() { sed -e 's/#.*//' "${lists[@]}" | awk -v column="$1" 'NF { print $column }'; }

fail() {
    printf 'setup: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

without_apt() {
    local missing=()
    for command in $(list 2 | grep -v '^-$'); do
        command -v "$command" >/dev/null || missing+=("$command")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "setup: no apt here, but all commands are installed"
        return
    fi
    fail "this is not a Debian system, and these commands are missing: ${missing[*]}" \
        "install them, or use Debian 12 or later (.ci/setup/${lists[0]} lists the packages)"
}

missing_packages() {
    local package
    local -A installed=()
    # dpkg names some packages with their architecture (libc6-dev:amd64), the list does not.
    while read -r status package; do
        [ "$status" = installed ] && installed[${package%%:*}]=1
    done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null)
    for package in $(list 1); do
        [ -n "${installed[$package]-}" ] || echo "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    without_apt
    exit 0
fi

mapfile -t missing < <(missing_packages)
if [ ${#missing[@]} -eq 0 ]; then
    echo "setup: Debian packages are ready"
    exit 0
fi

if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    fail "${#missing[@]} Debian packages are missing, and installing them needs root or sudo" \
        "run as root: apt-get install --no-install-recommends ${missing[*]}"
fi

echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! {
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            -o DPkg::Lock::Timeout=300 "${missing[@]}"
} </dev/null >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    fail "apt could not install the packages" \
        "see apt's lines above; check the network and apt's sources (Debian 12 and later have all packages)"
fi
