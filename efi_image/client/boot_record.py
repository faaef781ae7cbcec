"""The UEFI variable ZppBootRecord, with which ZppBoot counts failed boots (zpp/boot_record.h).

A system that is up deletes it: its boot has completed (docs/adr/0019).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from efi_image.devices.efivars import ZPP, Efivars
from efi_image.errors import InputError

NAME = "ZppBootRecord"
_LAYOUT = struct.Struct("<BBB5xQ")
_VERSION = 1
_STARTED, _TURNED_OFF = 0, 1


@dataclass(frozen=True, slots=True)
class BootRecord:
    """How many boots with the hypervisor in a row nobody has seen complete, with this one."""

    boots: int
    turned_off: bool  # ZppBoot boots without the hypervisor until somebody turns it on


def read(variables: Efivars) -> BootRecord | None:
    """The record; None if there is none.

    Raises MissingError without UEFI variables, InputError for a record that cannot be read.
    """
    variables.require()
    found = variables.read(NAME, ZPP)
    if found is None:
        return None
    if len(found.data) == _LAYOUT.size:
        version, boots, state, _time = _LAYOUT.unpack(found.data)
        if version == _VERSION and state in (_STARTED, _TURNED_OFF):
            return BootRecord(boots, state == _TURNED_OFF)
    raise InputError(
        "is not the record of this version of zpp; ZppBoot replaces it at the next boot",
        where=f"{NAME}-{ZPP}",
    )


def delete(variables: Efivars) -> None:
    """Delete the record; raises OutputError."""
    variables.remove(NAME, ZPP)
