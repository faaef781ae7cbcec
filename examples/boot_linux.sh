#!/bin/sh
# Boots your distribution's Linux in QEMU with zpp below it: boot_linux.sh [KERNEL INITRD]
# It ends when zpp runs both CPUs and Linux has started. Run `make` in the root of the checkout first.
set -eu

kernel=${1:-/boot/vmlinuz-$(uname -r)}
initrd=${2:-/boot/initrd.img-$(uname -r)}
zpp_image=${ZPP_IMAGE:-$(dirname "$0")/../.venv/bin/zpp-image}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# An image with zpp's boot program, which starts zpp and then this kernel.
"$zpp_image" make "$folder/linux.img" --kernel "$kernel" --initrd "$initrd" \
    --cmdline 'console=ttyS0,115200 no_timer_check'

# QEMU emulates AMD-V, so this needs no virtualization hardware. The exit code is 0 when all
# expected text was seen.
"$zpp_image" run "$folder/linux.img" --engine qemu --cpus 2 --memory 1024 --timeout 300 \
    --expect 'zpp: CPU 0 .*AMD-V' --expect 'zpp: CPU 1 .*AMD-V' --expect 'Linux version'
