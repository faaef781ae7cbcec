"""`zpp-image status`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.terminal import columns, show
from efi_image.client.hypervisor import FOLDER, Counter, Status, read_counters, read_status
from efi_image.render.text import human, table


def _exits(counters: tuple[Counter, ...], index: int | None) -> int | None:
    """The VM exits of a CPU; None for one that is not virtualized."""
    if index is None:
        return None
    return sum(counter.count for counter in counters if counter.index == index)


def _document(status: Status, counters: tuple[Counter, ...]) -> dict[str, Any]:
    return {
        "zpp_version": status.zpp_version,
        "vendor": status.vendor.title,
        "cpu_count": status.cpu_count,
        "memory": status.memory,
        "cpus": [
            {
                "number": cpu.number,
                "state": cpu.state,
                "index": cpu.index,
                "exits": _exits(counters, cpu.index),
            }
            for cpu in status.cpus
        ],
    }


def _lines(status: Status, counters: tuple[Counter, ...]) -> Iterator[str]:
    yield (
        f"zpp {status.zpp_version}, {status.vendor.title}, {status.cpu_count} CPUs, "
        f"{human(status.memory)} of memory"
    )
    yield ""
    rows = [("CPU", "STATE", "ZPP'S NUMBER", "VM EXITS")]
    for cpu in status.cpus:
        exits = _exits(counters, cpu.index)
        index = "" if cpu.index is None else str(cpu.index)
        rows.append((str(cpu.number), cpu.state, index, "" if exits is None else f"{exits:,}"))
    yield from table(rows, "><>>", columns())


@click.command("status")
@click.argument("folder", type=PathType(path_type=Path), default=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(folder: Path, as_json: bool) -> None:
    """Show the hypervisor that runs under this Linux, and each CPU.

    zpp.ko must be loaded: with client=1 if ZppBoot started the hypervisor. FOLDER is
    /sys/kernel/debug/zpp, or a copy of it from another machine.

    \b
    Examples:
      zpp-image status
      zpp-image status --json
    """
    status, counters = read_status(folder), read_counters(folder)
    if as_json:
        show_json(_document(status, counters))
    else:
        show("\n".join(_lines(status, counters)))
