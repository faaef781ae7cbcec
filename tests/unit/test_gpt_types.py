"""Names of partition types, held against sfdisk's own table."""

from __future__ import annotations

from uuid import UUID

import oracles
import pytest

from efi_image.errors import UsageError
from efi_image.formats.gpt.types import BY_NAME, TYPES, parse_guid, parse_type


def test_sfdisk_knows_every_type() -> None:
    listing = oracles.run("sfdisk", "--list-types", "--label", "gpt").splitlines()
    known = {line[:36].lower(): line[36:].strip() for line in listing if line[8:9] == "-"}
    assert len(known) > 50
    for each in TYPES:
        name = known[str(each.guid)].lower()
        if each.name.startswith("linux-"):
            _, kind, *rest = each.name.split("-")
            assert kind in name
            assert ("verity" in rest) == ("verity" in name)
            assert ("sig" in rest) == ("sign" in name)
    assert known[str(BY_NAME["linux-root-x86-64"].guid)] == "Linux root (x86-64)"


def test_names_and_guids_are_unique() -> None:
    assert len({each.name for each in TYPES}) == len({each.guid for each in TYPES}) == len(TYPES)


def test_types_by_name_guid_and_byte() -> None:
    assert parse_type("swap", "x").mbr == 0x82
    assert parse_type(str(BY_NAME["home"].guid).upper(), "x") is BY_NAME["home"]
    other = parse_type("01234567-89ab-cdef-0123-456789abcdef", "x")
    assert (other.guid, other.mbr) == (UUID("0123456789abcdef0123456789abcdef"), None)
    assert parse_type("0xDA", "x").mbr == 0xDA


@pytest.mark.parametrize("text", ["", "linx", "0x0", "0x100", "0x", "ESP ", "0" * 32])
def test_no_types(text: str) -> None:
    with pytest.raises(UsageError, match="x: unknown partition type"):
        parse_type(text, "x")


def test_hint_of_a_close_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'swap'?"):
        parse_type("swpa", "x")


@pytest.mark.parametrize("text", ["", "1", "{" + "0" * 36, "00000000-0000-0000-0000-000000000000"])
def test_no_guids(text: str) -> None:
    with pytest.raises(UsageError, match="x: expected a GUID"):
        parse_guid(text, "x")
