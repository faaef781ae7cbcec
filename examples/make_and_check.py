"""Make an image with the built hypervisor, check it, and print what is on it.

    make
    python3 examples/make_and_check.py [IMAGE] [KERNEL]

IMAGE is esp.img in the build directory if it is left out; KERNEL is a Linux kernel or another
EFI program to start. Needs the package zpp-image, which `make setup` installs.
"""

from __future__ import annotations

import sys

import efi_image


def main(output: str | None = None, kernel: str | None = None) -> int:
    try:
        made = efi_image.make(output, kernel=kernel, digest=True)
        report = efi_image.verify(made.output, machines=["X64"])
        facts = efi_image.inspect(made.output)
    except efi_image.ZppError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{made.output}: {made.size} bytes, {made.table} table, {made.fat}, sha256 {made.sha256}")
    for partition in facts["partitions"]:
        print(f"partition {partition['name']}: {partition['type']}, {partition['size']} bytes")
    for file in made.files:
        print(f"  {file.path}: {file.size} bytes")
    for finding in report.findings:
        print(f"{finding.rule.code} {finding.location}: {finding.reason}")
    print("it can boot" if report.clean else "it does not boot")
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
