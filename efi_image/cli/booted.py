"""`zpp-image booted`."""

from __future__ import annotations

import click

from efi_image.client.boot_record import delete, read
from efi_image.client.hypervisor import read_status
from efi_image.devices.efivars import Efivars

VARIABLES = Efivars()


@click.command("booted")
def command() -> None:
    """Tell ZppBoot that this boot with the hypervisor completed.

    ZppBoot counts the boots with the hypervisor that did not complete, and turns it off after too
    many. Without this command, a boot did not complete if the machine starts again within five
    minutes. Run it at the end of each boot, as root, after zpp.ko is loaded with client=1: it
    deletes the UEFI variable with the count.

    \b
    Examples:
      zpp-image booted
    """
    read_status()  # a boot without the hypervisor says nothing about those with it
    record = read(VARIABLES)
    if record is None:
        click.echo("no boot is counted: nothing to do")
    elif record.turned_off:
        click.echo(
            f"nothing changed: after {record.boots} failed boots, the hypervisor is off until you "
            "turn it on in ZppBoot's menu"
        )
    else:
        delete(VARIABLES)
        click.echo(f"this boot completed; boots counted until now: {record.boots}")
