"""Writes efi_image/doctor/requirements.py from the core's and the loaders' tables: `make
reference`. With --check it compares.

Standard library only. It reads what print_tables.cpp prints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

MODULE = Path(__file__).resolve().parents[3] / "efi_image/doctor/requirements.py"

HEAD = '''\
"""What zpp needs from a CPU, and which of its values are recorded.

`make reference` writes this from hypervisor/include/zpp/requirements.h and
hypervisor/loader/capture.h; a test compares them.
"""

from efi_image.doctor.tables import CapturedMsrs, Group, Requirement, Rule, Source

# fmt: off
# ruff: noqa: E501
'''


def text(tables: str) -> str:
    """The module, from what the program prints."""
    rows = [line.split("\t") for line in tables.splitlines()]

    def of(kind: str) -> list[Sequence[str]]:
        return [row[1:] for row in rows if row[0] == kind]

    return HEAD + "\n".join(lines(of)) + "\n"


def lines(of: Callable[[str], list[Sequence[str]]]) -> Iterator[str]:
    for name, value in of("constant"):
        yield f"{name} = {value}"
    yield "\nREASONS = {  # by the status of a refused launch"
    for name, value in of("reason"):
        yield f"    {quoted(name)}: {quoted(value)},"
    yield "}\n\nFIXES = {"
    for name, value in of("fix"):
        yield f"    {quoted(name)}: {quoted(value)},"
    yield "}\n\nREQUIREMENTS = ("
    for group, source, index, rule, mask, status, detail, name, fix in of("requirement"):
        yield f"    Requirement(Group.{group}, Source.{source}, 0x{index}, Rule.{rule}, 0x{mask},"
        rest = f"REASONS[{quoted(status)}], {quoted(detail)}, {quoted(name)}"
        yield f"                {rest},\n                {quoted(fix)}),"
    yield ")\n\n# capability MSR of VMX → the bits that all CPUs must have in common"
    yield "COMPARED_MSRS = {"
    for index, mask in of("compared"):
        yield f"    0x{index}: 0x{mask},"
    yield "}\n\nCAPTURED_RANGES = ("
    for first, last in of("captured-range"):
        yield f"    (0x{first}, 0x{last}),"
    yield ")\n\n# leaf → its last subleaf"
    yield "CAPTURED_SUBLEAVES = {"
    for leaf, last in of("captured-subleaves"):
        yield f"    0x{leaf}: {last},"
    yield "}\n\nCAPTURED_MSRS = ("
    for first, count, source, index, mask in of("captured-msrs"):
        yield f"    CapturedMsrs(0x{first}, {count}, Source.{source}, 0x{index}, 0x{mask}),"
    yield ")"


def quoted(value: str) -> str:
    return json.dumps(value)


def main(arguments: Sequence[str]) -> None:
    wanted = text(sys.stdin.read())
    if arguments != ["--check"]:
        MODULE.write_text(wanted, encoding="utf-8")
    elif wanted != MODULE.read_text(encoding="utf-8"):
        sys.exit(f"{MODULE} is not what the tables say; run `make reference`")


if __name__ == "__main__":
    main(sys.argv[1:])
