#!/bin/bash
# Makes or updates .venv with zpp-image from this checkout; `venv.sh dev` adds the tools for tests and checks.
set -euo pipefail
cd "$(dirname "$0")/../.."

extra=${1:-}
stamp=.venv/.pyproject.toml # what .venv was made for
tools=.venv/.dev            # exists if .venv has the tools

# Python compiles at the first use, but not where PYTHONDONTWRITEBYTECODE is set.
compile_package() {
    .venv/bin/python -m compileall -q efi_image
}

# Its programs name its folder, so an environment that was moved or copied does not work.
works_here() {
    .venv/bin/python -c '' 2>/dev/null &&
        grep -qsF "$(realpath .venv)/bin/python" .venv/bin/zpp-image
}

pip_install() {
    .venv/bin/pip install --quiet --disable-pip-version-check --no-input "$@"
}

if works_here && cmp -s pyproject.toml "$stamp" && { [ -z "$extra" ] || [ -e "$tools" ]; }; then
    compile_package
    echo "setup: Python environment is ready"
    exit 0
fi

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    printf 'setup: python3 is too old\nhint: install Python 3.11 or later\n' >&2
    exit 1
fi

echo "setup: making the Python environment .venv"
works_here || rm -rf .venv
if [ ! -x .venv/bin/pip ] && ! python3 -m venv .venv; then
    printf 'setup: python3 could not make .venv\n' >&2
    printf 'hint: install the package python3-venv; .venv takes up to 400 MB\n' >&2
    exit 1
fi
[ ! -e "$tools" ] || extra=dev
rm -f "$stamp"
if ! pip_install -e ".${extra:+[$extra]}"; then
    printf 'setup: pip could not install the Python packages\n' >&2
    printf 'hint: check the network, the disk space and "pip config list"\n' >&2
    exit 1
fi
compile_package
[ -z "$extra" ] || touch "$tools"
cp pyproject.toml "$stamp"
