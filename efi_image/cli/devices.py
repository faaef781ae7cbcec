"""`zpp-image devices`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

import click

from efi_image.cli.json_output import Output, show_json
from efi_image.cli.terminal import columns
from efi_image.config.values import parse_size
from efi_image.devices import Bus, Device, Reason, Refusal, disks
from efi_image.devices.watch import changes
from efi_image.errors import printable
from efi_image.render.as_json import versioned
from efi_image.render.text import human, table

HEADER = ("DEVICE", "SIZE", "BUS", "MODEL", "SERIAL", "MOUNTED", "SAFE TO WRITE")


def device_json(device: Device) -> dict[str, Any]:
    """A device for programs."""
    row = asdict(device)
    row.pop("refusals")
    row["bus"] = device.bus.value
    row["safe"] = device.safe
    row["reasons"] = [{"reason": r.reason.value, "text": r.text} for r in device.refusals]
    return row


def verdict(device: Device) -> str:
    """Whether it may be written, and why not, in words."""
    if not device.safe:
        return "no: " + ", ".join(refusal.text for refusal in device.refusals)
    return "yes, after unmounting" if device.unmount else "yes"


def _row(device: Device) -> tuple[str, ...]:
    mounted = " ".join(mount.target for mount in device.mounts)
    removable = " (removable)" if device.removable else ""
    return (
        device.path,
        human(device.size),
        device.bus.value + removable,
        device.model,
        device.serial,
        mounted,
        verdict(device),
    )


def table_of(devices: Iterable[Device], width: int | None = None) -> list[str]:
    """Devices as lines for people, of at most `width` columns."""
    return list(table([HEADER, *map(_row, devices)], "<><<<<<", width))


def _judged(devices: Iterable[Device], everything: bool, needed: int) -> Iterator[Device]:
    """The devices to show; those that are too small are not safe."""
    for device in devices:
        if device.bus is Bus.LOOP and not everything:
            continue
        if 0 < device.size < needed:
            small = Refusal(Reason.TOO_SMALL, f"is smaller than {human(needed)}")
            yield replace(device, refusals=(*device.refusals, small))
        else:
            yield device


def _show(devices: list[Device], as_json: bool) -> None:
    if as_json:
        show_json({"devices": [device_json(device) for device in devices]})
        return
    for line in table_of(devices, columns()):
        click.echo(line)
    if not devices:
        click.echo("no disks found")


def _follow(everything: bool, needed: int, as_json: bool) -> None:

    def look() -> list[Device]:
        return list(_judged(disks().devices(), everything, needed))

    for event, device in changes(look):
        if as_json:
            row = versioned({"event": event.value, "device": device_json(device)})
            Output.begun = True
            click.echo(json.dumps(row))
        else:
            words = f"{event.value:7}  {device.path}  {human(device.size)}  {device.model}"
            click.echo(printable(f"{words}  {verdict(device)}"))


@click.command("devices")
@click.option("--all", "everything", is_flag=True, help="List loop devices as well.")
@click.option(
    "--size", metavar="SIZE", help="Mark disks smaller than this, such as 2G, as not safe."
)
@click.option(
    "--watch", is_flag=True, help="Keep running and show disks as they are plugged and unplugged."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(everything: bool, size: str | None, watch: bool, as_json: bool) -> None:
    """List disks, and which of them are safe to write.

    A disk is not safe if anything uses it (also through LVM, LUKS, RAID, swap, btrfs, ZFS or
    loop devices), or if it is built in, write-protected or without a medium. With --watch and
    --json, each change is one line.

    \b
    Examples:
      zpp-image devices
      zpp-image devices --size 8G --json
      zpp-image devices --watch
    """
    needed = parse_size(size, "--size") if size else 0
    if watch:
        _follow(everything, needed, as_json)
    else:
        _show(list(_judged(disks().devices(), everything, needed)), as_json)
