"""Names on FAT: what is refused, and aliases that never collide."""

from __future__ import annotations

import string
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efi_image.errors import FatNameError
from efi_image.formats.fat.long_names import checksum, entry_count, pack_long_name
from efi_image.formats.fat.names import fault_of, fold, parse_path, short_names
from efi_image.formats.files import show_path

SHORT_CHARACTERS = set(string.ascii_uppercase + string.digits + "!#$%&'()-@^_`{}~")


def aliases(names: Sequence[str]) -> dict[str, bytes]:
    return dict(zip(names, short_names(names), strict=True))


def display(short: bytes) -> str:
    """An 8.3 name as it is written: `BASE.EXT`."""
    base, extension = short[:8].decode("ascii").rstrip(), short[8:].decode("ascii").rstrip()
    return f"{base}.{extension}" if extension else base


def alias(name: str) -> str:
    return display(aliases([name])[name])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a.", "a ", "a. .", "a:b", "a*", "a?", 'a"b', "a<b", "a>b", "a|b", "a\\b",
     "a/b", "a\tb", "a\x00b", "a\x7fb", "CON", "con", "Aux.txt", "nul .tar.gz", "COM1", "lpt9.x",
     "com¹", "CONIN$", "x" * 256, "\U0001f600" * 128, "\ud800"],
)  # fmt: skip
def test_names_that_fat_cannot_hold(name: str) -> None:
    assert fault_of(name)


@pytest.mark.parametrize(
    "name",
    ["a", ".a", "a.b.c", "CONSOLE", "COM0", "COM10", "x" * 255, "\U0001f600" * 127, " a", "a b",
     "ümläut", "~", "+,;=[]", "COMX.txt", "nulls"],
)  # fmt: skip
def test_names_that_fat_can_hold(name: str) -> None:
    assert fault_of(name) == ""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("\\EFI\\BOOT\\BOOTX64.EFI", ("EFI", "BOOT", "BOOTX64.EFI")),
        ("EFI/BOOT/", ("EFI", "BOOT")),
        ("/a", ("a",)),
    ],
)
def test_paths(text: str, names: tuple[str, ...]) -> None:
    assert parse_path(text) == names
    assert parse_path(show_path(names)) == names


@pytest.mark.parametrize("text", ["", "/", "a//b", "a/../b", "a/CON/b", "./a"])
def test_bad_paths_are_named_whole(text: str) -> None:
    with pytest.raises(FatNameError) as caught:
        parse_path(text)
    assert caught.value.where == text
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("BOOTX64.EFI", "BOOTX64.EFI"),
        ("zpp.conf", "ZPP~1.CON"),
        ("readme.txt", "README.TXT"),
        ("longfilename.efi", "LONGFI~1.EFI"),
        ("a.b.c", "AB~1.C"),
        (".profile", "PROFIL~1"),
        ("two words.txt", "TWOWOR~1.TXT"),
        ("a+b.txt", "A_B~1.TXT"),
        ("ümläut", "_ML_UT~1"),
        ("x.tiff", "X~1.TIF"),
        ("+.+++", "_~1.___"),
        ("ſ.txt", "S~1.TXT"),
    ],
)
def test_alias_of_one_name(name: str, short: str) -> None:
    assert alias(name) == short


def test_names_that_are_aliases_themselves_keep_them() -> None:
    names = ["longfilename.efi", "LONGFI~1.EFI", "longfi~2.efi"]
    shorts = {name: display(short) for name, short in aliases(names).items()}
    assert shorts["LONGFI~1.EFI"] == "LONGFI~1.EFI"
    assert shorts["longfi~2.efi"] == "LONGFI~2.EFI"
    assert shorts["longfilename.efi"] == "LONGFI~3.EFI"


def test_twenty_thousand_aliases_are_unique() -> None:
    names = [f"module-{number:05}-driver.efi" for number in range(20_000)]
    assert len(set(aliases(names).values())) == len(names)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("BOOTX64.EFI", "bootx64.efi", True),
        ("É", "é", True),
        ("ÄÖÜ", "äöü", True),
        ("ж", "Ж", True),
        ("Σ", "σ", True),
        ("Σ", "ς", True),
        ("ÿ", "Ÿ", True),
        ("ǆ", "Ǆ", True),
        ("ᾳ", "ᾼ", True),
        ("ａ", "Ａ", True),
        ("straße", "strasse", False),
        ("straße", "STRASSE", False),
        ("ß", "ẞ", False),
        ("ﬁ", "fi", False),
        ("ı", "I", False),
        ("İ", "i", False),
        ("ſ", "s", False),
        ("\u212a", "k", False),  # the Kelvin sign
        ("\u212b", "å", False),  # the Ångström sign
        ("µ", "μ", False),  # the micro sign
        ("ŉ", "ʼn", False),
        ("ǰ", "j\u030c", False),
        ("é", "e", False),
        ("é", "e\u0301", False),
        ("\U00010428", "\U00010400", False),  # Deseret: no single UTF-16 unit
    ],
)
def test_names_that_differ_only_in_case(one: str, other: str, same: bool) -> None:
    """Oracle: the case table of Windows 7, as ntfs-3g writes it ($UpCase)."""
    assert (fold(one) == fold(other)) is same


NAME = st.text(
    st.one_of(
        st.sampled_from("aAbB~1. _+"),
        st.characters(codec="utf-8", min_codepoint=0x20, max_codepoint=0x1FFFF),
    ),
    min_size=1,
    max_size=40,
).filter(lambda name: not fault_of(name))


@given(st.lists(NAME, max_size=40, unique_by=fold))
def test_aliases_are_valid_unique_and_never_another_ones_name(names: list[str]) -> None:
    shorts = aliases(names)
    assert set(shorts) == set(names)
    assert len(set(shorts.values())) == len(names)
    folded = {fold(name): name for name in names}
    for name, short in shorts.items():
        assert len(short) == 11
        assert short[:1] != b" "
        shown = display(short)
        assert set(shown.replace(".", "")) <= SHORT_CHARACTERS
        assert folded.get(fold(shown), name) == name


@given(NAME)
def test_entries_of_a_long_name(name: str) -> None:
    short = aliases([name])[name]
    records = pack_long_name(name, short)
    assert len(records) == 32 * entry_count(name, short)
    if not records:
        assert display(short) == name
        return
    parts = [records[at : at + 32] for at in range(0, len(records), 32)]
    assert [part[0] & 0x3F for part in parts] == list(range(len(parts), 0, -1))
    assert [bool(part[0] & 0x40) for part in parts] == [True] + [False] * (len(parts) - 1)
    assert all(part[11] == 0x0F and part[13] == checksum(short) for part in parts)
    text = b"".join(part[1:11] + part[14:26] + part[28:32] for part in reversed(parts))
    units = text.decode("utf-16-le", "surrogatepass")
    assert units.split("\0")[0].rstrip("\uffff") == name.rstrip("\uffff")


def test_checksum_of_a_known_name() -> None:
    """Computed by hand from the specification's rule, one rotation after the other."""
    total = 0
    for byte in b"LONGFI~1EFI":
        total = ((((total & 1) << 7) | ((total & 0xFE) >> 1)) + byte) % 256
    assert checksum(b"LONGFI~1EFI") == total
