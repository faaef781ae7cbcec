"""Whether this machine's firmware starts a program: its Secure Boot state, db and dbx."""

from __future__ import annotations

from efi_image.devices.efivars import IMAGE_SECURITY, Efivars
from efi_image.errors import UnsafeTarget
from efi_image.formats.pe.authenticode import SignedContent
from efi_image.formats.pe.headers import read_headers
from efi_image.formats.signature_list import KeyList, parse_keys
from efi_image.io.source import Source
from efi_image.verify.rules import BY_CODE
from efi_image.verify.secure_boot import Keys, refusal


def _keys(efivars: Efivars, name: str) -> KeyList:
    found = efivars.read(name, IMAGE_SECURITY)
    return parse_keys(found.data, name) if found else KeyList()


def check_secure_boot(efivars: Efivars, program: Source) -> None:
    """Raise UnsafeTarget if Secure Boot is on and the firmware refuses the program."""
    if not efivars.secure_boot():
        return
    keys = Keys(_keys(efivars, "db"), _keys(efivars, "dbx"))
    header = read_headers(program.read_at, program.name)
    content = SignedContent(header, program.read_at, program.size, keys.algorithms)
    refused = refusal(content, keys)
    if refused:
        rule = BY_CODE[f"ZPP-{refused.code}"]
        raise UnsafeTarget(
            f"Secure Boot is on and would refuse it: {rule.title}: {refused.reason}",
            where=program.name,
            hint="sign it with a key that the firmware's db has, or turn Secure Boot off",
        )
