#!/bin/bash
# Fails if a line in the repository names a package host, a registry or a user's folder: the
# repository must build on every machine, with the mirrors that are set up there.
set -euo pipefail
cd "$(dirname "$0")/../.."

hosts='(deb|security|snapshot|archive|ftp)[.](debian|ubuntu)[.](org|com)|(files[.])?pypi[.]org|pythonhosted[.]org'
hosts+='|--(extra-)?index-url|https?://[0-9]+[.][0-9]|artifactory|/(home|root|work)/[a-z]'

if git grep -nIE "$hosts" -- . ':!.ci/check/names.sh'; then
    echo "check: the lines above name a host or a folder of one machine" >&2
    exit 1
fi
