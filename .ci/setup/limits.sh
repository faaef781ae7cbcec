#!/bin/bash
# Says what this machine cannot run, before anything is installed: limits.sh [boot] [bochs]. The
# arguments are what make is about to do ("boot" are the tests that boot); it stops if that cannot work.
set -euo pipefail

stop=0
cannot() {
    printf 'setup: %s\n' "$1" >&2
    local word
    for word in "${goals[@]}"; do
        case " $2 " in *" $word "*) stop=1 ;; esac
    done
}

can_unshare() {
    unshare "$@" true 2>/dev/null || unshare --map-root-user "$@" true 2>/dev/null
}

goals=("$@")
namespaces=1
if ! can_unshare --net; then
    namespaces=0
    cannot 'no network namespace here: Bochs (VT-x) cannot run' 'boot bochs'
fi
if ! can_unshare --mount --propagation unchanged; then
    namespaces=0
    cannot 'no mount namespace here: zpp.ko cannot be built for the kernels of the boot tests' 'boot'
fi
if [ "$namespaces" = 0 ]; then
    echo 'hint: run make as root (in a chroot only root may have namespaces), or' \
        'sysctl -w user.max_user_namespaces=1000' >&2
fi
if [ "$(id -u)" -ne 0 ] || [ ! -e /dev/loop-control ]; then
    cannot 'no loop devices here (they need root): their unit tests are skipped' ''
fi
if [ "$stop" = 1 ]; then
    echo "setup: stopped before anything was installed; make run (with QEMU) and" \
        "make test TESTS='tests/unit tests/host' need none of this" >&2
    exit 1
fi
