"""Partition types by name, with their GUIDs and their bytes in a master boot record.

The GUIDs are those of the UEFI specification (5.3.3), the Discoverable Partitions Specification,
and the systems that use them. An MBR cannot have a type without a byte.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from uuid import UUID

from efi_image.errors import UsageError

LINUX = 0x83
NO_GUID = UUID(int=0)

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.I | re.A)
_BYTE = re.compile(r"0[xX][0-9a-fA-F]{1,2}")


@dataclass(frozen=True, slots=True)
class PartitionType:
    """A partition type; `mbr` is its byte in a master boot record, if it has one."""

    name: str
    guid: UUID
    mbr: int | None


def _type(name: str, guid: str, mbr: int | None = LINUX) -> PartitionType:
    return PartitionType(name, UUID(guid), mbr)


TYPES = (
    _type("esp", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 0xEF),
    _type("xbootldr", "BC13C2FF-59E6-4262-A352-B275FD6F7172", 0xEA),
    _type("linux", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    _type("swap", "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", 0x82),
    _type("home", "933AC7E1-2EB4-4F13-B844-0E14E2AEF915"),
    _type("srv", "3B8F8425-20E0-4F3B-907F-1A25A76F98E8"),
    _type("var", "4D21B016-B534-45C2-A9FB-5C16E091FD2D"),
    _type("var-tmp", "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1"),
    _type("user-home", "773F91EF-66D4-49B5-BD83-D683BF40AD16"),
    _type("lvm", "E6D6D379-F507-44C2-A23C-238F2A3DF928", 0x8E),
    _type("raid", "A19D880F-05FC-4D3B-A006-743F0F84911E", 0xFD),
    _type("linux-reserved", "8DA63339-0007-60C0-C436-083AC8230908"),
    _type("msdata", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", 0x07),
    _type("msr", "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", None),
    _type("winre", "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", 0x27),
    _type("bios-boot", "21686148-6449-6E6F-744E-656564454649", None),
    _type("prep", "9E1A2D38-C612-4316-AA26-8B49521E5A8B", 0x41),
    _type("freebsd-boot", "83BD6B9D-7F41-11DC-BE0B-001560B84F0F", None),
    _type("freebsd-ufs", "516E7CB6-6ECF-11D6-8FF8-00022D09712B", None),
    _type("freebsd-zfs", "516E7CBA-6ECF-11D6-8FF8-00022D09712B", None),
    _type("freebsd-swap", "516E7CB5-6ECF-11D6-8FF8-00022D09712B", None),
    _type("hfs-plus", "48465300-0000-11AA-AA11-00306543ECAC", 0xAF),
    _type("apfs", "7C3457EF-0000-11AA-AA11-00306543ECAC", None),
    _type("linux-root-x86", "44479540-F297-41B2-9AF7-D131D5F0458A"),
    _type("linux-root-x86-64", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
    _type("linux-root-arm", "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3"),
    _type("linux-root-arm64", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"),
    _type("linux-root-riscv64", "72EC70A6-CF74-40E6-BD49-4BDA08E8F224"),
    _type("linux-root-loongarch64", "77055800-792C-4F94-B39A-98C91B762BB6"),
    _type("linux-root-x86-verity", "D13C5D3B-B5D1-422A-B29F-9454FDC89D76"),
    _type("linux-root-x86-64-verity", "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"),
    _type("linux-root-arm-verity", "7386CDF2-203C-47A9-A498-F2ECCE45A2D6"),
    _type("linux-root-arm64-verity", "DF3300CE-D69F-4C92-978C-9BFB0F38D820"),
    _type("linux-root-riscv64-verity", "B6ED5582-440B-4209-B8DA-5FF7C419EA3D"),
    _type("linux-root-loongarch64-verity", "F3393B22-E9AF-4613-A948-9D3BFBD0C535"),
    _type("linux-root-x86-verity-sig", "5996FC05-109C-48DE-808B-23FA0830B676"),
    _type("linux-root-x86-64-verity-sig", "41092B05-9FC8-4523-994F-2DEF0408B176"),
    _type("linux-root-arm-verity-sig", "42B0455F-EB11-491D-98D3-56145BA9D037"),
    _type("linux-root-arm64-verity-sig", "6DB69DE6-29F4-4758-A7A5-962190F00CE3"),
    _type("linux-root-riscv64-verity-sig", "EFE0F087-EA8D-4469-821A-4C2A96A8386A"),
    PartitionType(
        "linux-root-loongarch64-verity-sig",
        UUID("5AFB67EB-ECC8-4F85-AE8E-AC1E7C50E7D0"),
        LINUX,
    ),
    _type("linux-usr-x86", "75250D76-8CC6-458E-BD66-BD47CC81A812"),
    _type("linux-usr-x86-64", "8484680C-9521-48C6-9C11-B0720656F69E"),
    _type("linux-usr-arm", "7D0359A3-02B3-4F0A-865C-654403E70625"),
    _type("linux-usr-arm64", "B0E01050-EE5F-4390-949A-9101B17104E9"),
    _type("linux-usr-riscv64", "BEAEC34B-8442-439B-A40B-984381ED097D"),
    _type("linux-usr-loongarch64", "E611C702-575C-4CBE-9A46-434FA0BF7E3F"),
    _type("linux-usr-x86-verity", "8F461B0D-14EE-4E81-9AA9-049B6FB97ABD"),
    _type("linux-usr-x86-64-verity", "77FF5F63-E7B6-4633-ACF4-1565B864C0E6"),
    _type("linux-usr-arm-verity", "C215D751-7BCD-4649-BE90-6627490A4C05"),
    _type("linux-usr-arm64-verity", "6E11A4E7-FBCA-4DED-B9E9-E1A512BB664E"),
    _type("linux-usr-riscv64-verity", "8F1056BE-9B05-47C4-81D6-BE53128E5B54"),
    _type("linux-usr-loongarch64-verity", "F46B2C26-59AE-48F0-9106-C50ED47F673D"),
    _type("linux-usr-x86-verity-sig", "974A71C0-DE41-43C3-BE5D-5C5CCD1AD2C0"),
    _type("linux-usr-x86-64-verity-sig", "E7BB33FB-06CF-4E81-8273-E543B413E2E2"),
    _type("linux-usr-arm-verity-sig", "D7FF812F-37D1-4902-A810-D76BA57B975A"),
    _type("linux-usr-arm64-verity-sig", "C23CE4FF-44BD-4B00-B2D4-B41B3419E02A"),
    _type("linux-usr-riscv64-verity-sig", "D2F9000A-7A18-453F-B5CD-4D32F77A7B32"),
    PartitionType(
        "linux-usr-loongarch64-verity-sig",
        UUID("B024F315-D330-444C-8461-44BBDE524E99"),
        LINUX,
    ),
)
BY_NAME = {each.name: each for each in TYPES}
BY_GUID = {each.guid: each for each in TYPES}
ESP = BY_NAME["esp"]


def parse_guid(text: str, where: str) -> UUID:
    """A GUID in text; raises UsageError if it is not one, or all zeros."""
    if not _GUID.fullmatch(text) or UUID(text) == NO_GUID:
        raise UsageError(f"expected a GUID, not '{text}'", where=where)
    return UUID(text)


def parse_type(text: str, where: str) -> PartitionType:
    """A type by its name, its GUID or, for an MBR, its byte (`0x83`); raises UsageError."""
    if text in BY_NAME:
        return BY_NAME[text]
    if _BYTE.fullmatch(text) and int(text, 16):
        return PartitionType(text.lower(), NO_GUID, int(text, 16))
    if _GUID.fullmatch(text):
        guid = parse_guid(text, where)
        return BY_GUID.get(guid) or PartitionType(str(guid), guid, None)

    close = difflib.get_close_matches(text, BY_NAME, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "such as linux, swap, esp, or a GUID"
    raise UsageError(f"unknown partition type '{text}'", where=where, hint=hint)
