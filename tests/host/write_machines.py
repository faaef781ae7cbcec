"""Writes a C++ source with the machines in tests/host/machines/*.json, for recorded_machines.hpp.

    write_machines.py FILE.json... > machines.cpp

Standard library only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from efi_image.doctor.machine import Cpu, Machine, load
from efi_image.errors import ZppError

HEAD = """\
#include "recorded_machines.hpp"

namespace zpp::test {
namespace {

"""


def cpu_arrays(name: str, cpu: Cpu) -> Iterator[str]:
    """The leaves and MSRs of a CPU."""
    yield f"constexpr zpp_captured_leaf {name}_leaves[] = {{\n"
    for (leaf, subleaf), registers in cpu.cpuid.items():
        yield f"    {{{', '.join(f'0x{value:x}' for value in (leaf, subleaf, *registers))}}},\n"
    yield "};\n"
    if cpu.msrs:
        yield f"constexpr zpp_captured_msr {name}_msrs[] = {{\n"
        yield from (f"    {{0x{index:x}, 0x{value:x}}},\n" for index, value in cpu.msrs.items())
        yield "};\n"


def machine_row(name: str, machine: Machine, arrays: Sequence[str]) -> Iterator[str]:
    """The machine; its verdict is compared with what the core does."""
    yield f"    {{{json.dumps(name)},\n     {{\n"
    for array, cpu in zip(arrays, machine.cpus, strict=True):
        msrs = f"{array}_msrs" if cpu.msrs else "{}"
        numbers = f"0x{cpu.cr0 or 0:x}, 0x{cpu.cr4 or 0:x}, 0x{cpu.microcode:x}"
        yield f"         {{{array}_leaves, {msrs}, {numbers}}},\n"
    verdict = machine.verdict or {}
    if not isinstance(verdict.get("runs"), bool):
        hint = f"add it: zpp-image doctor {name}.json --save {name}.json"
        raise SystemExit(f"{name}.json has no verdict; {hint}")
    words = (json.dumps(verdict.get(key, "")) for key in ("reason", "detail", "fix"))
    runs = "true" if verdict["runs"] else "false"
    yield f"     }},\n     {{{runs}, {verdict.get('cpu', 0)}, {', '.join(words)}}}}},\n"


def source(files: Sequence[Path]) -> Iterator[str]:
    """The whole source."""
    yield HEAD
    rows: list[str] = []
    for number, file in enumerate(sorted(files)):
        machine = load(file)
        arrays = [f"cpu_{number}_{index}" for index in range(len(machine.cpus))]
        for array, cpu in zip(arrays, machine.cpus, strict=True):
            yield from cpu_arrays(array, cpu)
        rows.extend(machine_row(file.stem, machine, arrays))
    yield "\n} // namespace\n\nconst std::vector<RecordedMachine> recorded_machines = {\n"
    yield from rows
    yield "};\n\n} // namespace zpp::test\n"


if __name__ == "__main__":
    try:
        sys.stdout.writelines([*source([Path(name) for name in sys.argv[1:]])])
    except ZppError as error:
        sys.exit(str(error))
