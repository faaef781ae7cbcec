#!/bin/bash
# Loads the hypervisor into the running Linux of another machine: copies zpp.ko there with scp, loads it
# over ssh, and shows its lines of the kernel's log. out/environment/linux_load.sh runs this script and
# passes the settings; arguments are parameters of the module, such as keep=1.
#
# Exit codes: 0 the hypervisor is loaded, 1 it is not, 2 a setting or a file is missing, 3 the machine
# cannot be reached.
#
# SSHPASS, if not empty, is the password. ZPP_SSH_CONFIG is an alternative ssh configuration file.
set -euo pipefail

fail() {
    printf 'linux_load: %s\n' "$2" >&2
    [ -z "${3-}" ] || printf 'hint: %s\n' "$3" >&2
    exit "$1"
}

[ -n "$ZPP_TARGET" ] || fail 2 'SSH_TARGET is empty' 'set it in environment.local, then run make'
[ -f "$ZPP_MODULE" ] || fail 2 "$ZPP_MODULE is missing" \
    'add linux to BUILD_DRIVERS, then run make'

ssh_options=(-o ConnectTimeout=15)
[ -z "${ZPP_SSH_CONFIG-}" ] || ssh_options+=(-F "$ZPP_SSH_CONFIG")
if [ -n "${SSHPASS-}" ]; then
    command -v sshpass >/dev/null || fail 2 'sshpass is missing' 'install the package sshpass'
    log_in=(sshpass -e)
    ssh_options+=(-o NumberOfPasswordPrompts=1)
else
    log_in=()
    ssh_options+=(-o BatchMode=yes)
fi

remote() { "${log_in[@]}" ssh "${ssh_options[@]}" -p "$ZPP_PORT" "$ZPP_TARGET" "$@"; }

scp_target() {
    local user=${ZPP_TARGET%"${ZPP_TARGET##*@}"} host=${ZPP_TARGET##*@}
    case $host in *:*) host="[$host]" ;; esac
    printf '%s%s' "$user" "$host"
}

# Prints insmod's status and output ("said:"), and the new lines of the kernel's log ("log:").
loading_script() {
    cat <<'END'
PATH=$PATH:/usr/sbin:/sbin
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi; }
folder=$1 mark="linux_load $1"
shift
as_root true || { echo "said: root is required: log in as root, or allow sudo without a password"; exit 0; }
echo "$mark" | as_root tee /dev/kmsg >/dev/null
as_root insmod "$folder/zpp.ko" "$@" >"$folder/said" 2>&1
echo "status: $?"
sed 's/^/said: /' "$folder/said"
as_root dmesg | sed -n "\\:$mark:,\$ s/^\\[[^]]*\\] //p" | sed '1d; s/^/log: /'
rm -rf "$folder"
END
}

# Prints why the module was not loaded, from the kernel's log and insmod's output.
explain() {
    local answer=$1 line
    if line=$(grep -m 1 -o 'zpp: not loaded: .*' <<<"$answer"); then
        fail 1 "${line#zpp: }"
    elif grep -q 'Lockdown: ' <<<"$answer"; then
        fail 1 'not loaded: the kernel is locked down (Secure Boot) and accepts only signed modules' \
            'sign zpp.ko with a key that the machine trusts, or start zpp before Linux (docs/how-to/linux.md)'
    elif grep -qi 'module is rejected\|key was rejected\|required key not available' <<<"$answer"; then
        fail 1 'not loaded: the kernel accepts only signed modules' 'sign zpp.ko (docs/how-to/linux.md)'
    elif grep -q 'version magic\|nvalid module format' <<<"$answer"; then
        fail 1 'not loaded: zpp.ko is for another kernel' \
            "set LINUX_KERNEL to the headers of the machine's kernel, then run make"
    fi
    line=$(sed -n 's/^said: //p' <<<"$answer" | tail -n 1)
    fail 1 "not loaded: ${line:-insmod gave no reason}"
}

folder=$(remote mktemp -d /tmp/zpp.XXXXXX) || fail 3 "cannot log in to $ZPP_TARGET, port $ZPP_PORT" \
    'see the lines above; log in once by hand to accept the host key'
"${log_in[@]}" scp -q "${ssh_options[@]}" -P "$ZPP_PORT" "$ZPP_MODULE" "$(scp_target):$folder/zpp.ko" ||
    fail 3 "cannot copy zpp.ko to $ZPP_TARGET"
words=$(printf ' %q' "$@")
answer=$(loading_script | remote "sh -s -- $folder$words") || fail 3 "lost the connection to $ZPP_TARGET"
sed -n 's/^log: //p' <<<"$answer"
grep -q '^log: zpp: loaded: ' <<<"$answer" || explain "$answer"
