"""Asks the user to confirm a disk or file before it is overwritten."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from efi_image.devices import Device
from efi_image.errors import UnsafeTarget, printable
from efi_image.flash.destination import has_data
from efi_image.render.text import human


def confirm(device: Device, purpose: str, key: str | None, option: str) -> None:
    """Raise UnsafeTarget unless the user, or the script's option, confirms this disk.

    `purpose` is a sentence about the change, `key` is the option's value.
    """
    if key is not None:
        if key not in {device.key, printable(device.key)}:
            raise UnsafeTarget(_other_key(device, key, option), where=device.path)
        return
    if not sys.stdin.isatty():
        raise UnsafeTarget(
            "not confirmed: there is no terminal to ask on",
            where=device.path,
            hint=f"confirm it with {option} {device.key}",
        )
    click.echo(printable(_describe(device)), err=True)
    for mount in device.unmount:
        click.echo(printable(f"  will be unmounted: {mount.target}"), err=True)
    click.echo(printable(purpose), err=True)
    answer = click.prompt(
        printable(f"Type '{device.word}' to continue"), default="", show_default=False, err=True
    )
    if answer.strip() != printable(device.word):
        raise UnsafeTarget("was not confirmed; nothing was written", where=device.path)


def confirm_file(path: Path, source: str) -> None:
    """Raise UnsafeTarget unless the user confirms that the file may be overwritten."""
    if not sys.stdin.isatty():
        raise has_data(path, "--force")
    size = human(path.stat().st_size)
    question = f"{path} has data ({size}). Overwrite it with {source}?"
    if not click.confirm(printable(question), err=True):
        raise UnsafeTarget("was not confirmed; nothing was written", where=str(path))


def _describe(device: Device) -> str:
    serial = f", serial {device.serial}" if device.serial else ""
    return f"{device.path}: {device.model or 'disk'}{serial}, {human(device.size)}"


def _other_key(device: Device, key: str, option: str) -> str:
    if device.twin and key == device.serial:
        return f"has the same serial number as {device.twin}; this one needs {option} {device.key}"
    return f"is not the disk with serial {key}; this one needs {option} {device.key}"
