"""The boot options of the firmware: ours, and the one that starts after it."""

from __future__ import annotations

from efi_image.devices.efivars import Efivars, option_name
from efi_image.formats.load_option import LoadOption
from efi_image.install.esp import Esp
from efi_image.install.folder import PROGRAM_PATH


def load_option(efivars: Efivars, number: int) -> LoadOption | None:
    """A boot option; None if it does not exist or is malformed."""
    found = efivars.read(option_name(number))
    return LoadOption.unpack(found.data) if found else None


def own_options(efivars: Efivars, esp: Esp) -> list[int]:
    """The numbers of the options that start ZppBoot from this ESP, sorted."""
    found = []
    for number in sorted(efivars.numbers()):
        option = load_option(efivars, number)
        if option is None or option.partition is None:
            continue
        is_here = option.partition.guid == esp.partition.guid
        if is_here and option.file.casefold() == PROGRAM_PATH.casefold():
            found.append(number)
    return found


def free_number(efivars: Efivars) -> int:
    """The lowest number that neither an option has nor BootOrder names."""
    taken = {*efivars.numbers(), *efivars.boot_order()}
    return next(number for number in range(0x10000) if number not in taken)


def next_option(efivars: Efivars, order: list[int]) -> tuple[int, LoadOption] | None:
    """The first option of an order that a boot manager starts by itself."""
    for number in order:
        option = load_option(efivars, number)
        if option is not None and option.is_bootable:
            return number, option
    return None
