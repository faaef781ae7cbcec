#!/bin/bash
# Makes or renews .venv: zpp-image from this checkout, and the tools that the tests and checks need.
set -euo pipefail
cd "$(dirname "$0")/../.."

stamp=.venv/.pyproject.toml # a copy of what is installed

# Python does it at the first use, but not where PYTHONDONTWRITEBYTECODE is set.
compile_package() {
    .venv/bin/python -m compileall -q efi_image
}

# The programs of an environment name its folder: it cannot be moved, or copied with the checkout.
works_here() {
    .venv/bin/python -c '' 2>/dev/null &&
        grep -qsF "$(realpath .venv)/bin/python" .venv/bin/zpp-image
}

pip_install() {
    .venv/bin/pip install --quiet --disable-pip-version-check --no-input "$@"
}

if works_here && cmp -s pyproject.toml "$stamp"; then
    compile_package
    echo "setup: Python environment is ready"
    exit 0
fi

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    printf 'setup: python3 is too old\nhint: zpp-image needs Python 3.11 or later\n' >&2
    exit 1
fi

echo "setup: making the Python environment .venv"
works_here || rm -rf .venv
if [ ! -x .venv/bin/pip ] && ! python3 -m venv .venv; then
    printf 'setup: python3 could not make .venv\n' >&2
    printf 'hint: it needs 400 MB of disk space and the package python3-venv\n' >&2
    exit 1
fi
# What an older one installs as zpp-image imports re, 2 ms of the 25 of a small image: no reason to fail.
pip_install 'pip>=25.3' 2>/dev/null || echo "setup: pip stays as it is"
if ! pip_install -e '.[dev]'; then
    printf 'setup: pip could not install the Python packages\n' >&2
    printf 'hint: check the network, the configuration of pip (pip config list) and the disk space\n' >&2
    exit 1
fi
compile_package
cp pyproject.toml "$stamp"
