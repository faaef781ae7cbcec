"""`zpp-image counters`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.terminal import columns, show
from efi_image.client.hypervisor import FOLDER, Counter, read_counters, read_status
from efi_image.formats.vm_trace import Vendor
from efi_image.inspect.vm_exit_reasons import reason_of
from efi_image.render.text import table


def _by_reason(counters: tuple[Counter, ...]) -> list[tuple[int, dict[int, int]]]:
    """Exit reason → VM exits by CPU; the most frequent first."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for counter in counters:
        found[counter.reason][counter.index] = counter.count
    return sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0]))


# svm/exit_code.hpp: the counter of nested page faults, whose exit code is 400H
_NESTED_PAGE_FAULT_COUNTER, _NESTED_PAGE_FAULT = 0xA8, 0x400
_OTHERS = 191  # core/vcpu.hpp: the last counter is for all higher numbers


def _name(vendor: Vendor, reason: int) -> str:
    if reason == _OTHERS:
        return "others"
    if vendor is Vendor.AMDV and reason == _NESTED_PAGE_FAULT_COUNTER:
        reason = _NESTED_PAGE_FAULT
    return reason_of(vendor, reason).name


def _document(vendor: Vendor, counters: tuple[Counter, ...]) -> dict[str, Any]:
    return {
        "vendor": vendor.title,
        "exits": [
            {
                "reason": reason,
                "name": _name(vendor, reason),
                "count": sum(cpus.values()),
                "cpus": [{"index": index, "count": count} for index, count in cpus.items()],
            }
            for reason, cpus in _by_reason(counters)
        ],
    }


def _lines(vendor: Vendor, counters: tuple[Counter, ...]) -> Iterator[str]:
    indices = sorted({counter.index for counter in counters})
    rows = [("VM EXIT", "REASON", "ALL CPUS", *(f"CPU {index}" for index in indices))]
    for reason, cpus in _by_reason(counters):
        each = (f"{cpus.get(index, 0):,}" for index in indices)
        rows.append((_name(vendor, reason), f"{reason:#x}", f"{sum(cpus.values()):,}", *each))
    yield from table(rows, "<>>" + ">" * len(indices), columns())


@click.command("counters")
@click.argument("folder", type=PathType(path_type=Path), default=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(folder: Path, as_json: bool) -> None:
    """Count the VM exits since the launch, by reason and CPU.

    zpp.ko must be loaded: with client=1 if ZppBoot started the hypervisor. The CPUs have zpp's
    numbers, which `status` shows beside Linux's. FOLDER is /sys/kernel/debug/zpp, or a copy of it
    from another machine.

    \b
    Examples:
      zpp-image counters
      zpp-image counters --json
    """
    vendor, counters = read_status(folder).vendor, read_counters(folder)
    if as_json:
        show_json(_document(vendor, counters))
    else:
        show("\n".join(_lines(vendor, counters)))
